import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServer } from './start.js';

test('requests are answered, whichever worker gets them', { timeout: 60_000 }, async () => {
  const server = await startServer();
  try {
    const hello = await fetch(`${server.url}/hello?name=Anna`);
    assert.deepEqual(await hello.json(), { hello: 'Anna' });
    const echo = await fetch(`${server.url}/echo`, { method: 'POST', body: '{"a":1}' });
    assert.deepEqual(await echo.json(), { a: 1 });
    assert.equal((await fetch(`${server.url}/echo`, { method: 'POST', body: 'no JSON' })).status, 400);
    assert.equal((await fetch(`${server.url}/nowhere`)).status, 404);
    const { requests } = JSON.parse(await (await fetch(server.url)).text());
    assert.equal(requests, 5);
  } finally {
    await server.stop();
  }
});
