import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServer } from './start.js';

test('the app answers', { timeout: 60_000 }, async () => {
  const server = await startServer();
  try {
    assert.match(await (await fetch(server.url)).text(), /^Hello from /);
    assert.deepEqual(await (await fetch(`${server.url}/hello/Anna`)).json(), { hello: 'Anna' });
    const headers = { 'content-type': 'application/json' };
    const echo = await fetch(`${server.url}/echo`, { method: 'POST', headers, body: '{"a":1}' });
    assert.equal(echo.status, 201);
    assert.deepEqual(await echo.json(), { a: 1 });
    assert.equal((await fetch(`${server.url}/nowhere`)).status, 404);
  } finally {
    await server.stop();
  }
});
