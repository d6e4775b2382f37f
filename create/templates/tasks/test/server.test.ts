import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServer } from './start.js';

test('a task worker computes the hash', { timeout: 60_000 }, async () => {
  const server = await startServer();
  try {
    const ask = async () => (await fetch(`${server.url}/hash`, { method: 'POST', body: 'secret' })).text();
    const [one, other] = await Promise.all([ask(), ask()]);
    assert.match(one, /^\{"hash":"[\w-]{22}\.[\w-]{43}"\}$/);
    assert.notEqual(one, other); // each has a salt of its own
    assert.equal((await fetch(`${server.url}/stats`)).status, 200);
  } finally {
    await server.stop();
  }
});
