import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSocket } from './open-socket.js';
import { startServer } from './start.js';

test('what one says, the others of the room hear', { timeout: 60_000 }, async () => {
  const server = await startServer();
  try {
    assert.match(await (await fetch(server.url)).text(), /<!doctype html>/);
    const anna = await openSocket(server.port, '/chat?name=anna');
    await anna.next('join');
    const ben = await openSocket(server.port, '/chat?name=ben');
    assert.equal((await anna.next('join')).name, 'ben');
    ben.send('hello');
    assert.equal((await anna.next('say')).text, 'hello');
    ben.close();
    assert.equal((await anna.next('leave')).name, 'ben');
    anna.close();
    assert.equal((await fetch(`${server.url}/nowhere`)).status, 404);
  } finally {
    await server.stop();
  }
});
