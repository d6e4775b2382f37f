import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSocket } from './open-socket.js';
import { startServer } from './start.js';

const { REDIS_URL } = process.env;

test('a node serves, with Redis or without', { timeout: 60_000 }, async () => {
  const server = await startServer({ NODE_ID: 'a', REDIS_URL: REDIS_URL ?? 'redis://127.0.0.1:1' });
  try {
    const anna = await openSocket(server.port, '/chat?name=anna');
    anna.send('hello');
    assert.equal((await anna.next('say')).text, 'hello');
    anna.close();
  } finally {
    await server.stop();
  }
});

test('what one says on a node is heard on the other', {
  timeout: 60_000,
  skip: !REDIS_URL && 'set REDIS_URL',
}, async () => {
  const nodes = await Promise.all([startServer({ NODE_ID: 'a' }), startServer({ NODE_ID: 'b' })]);
  try {
    const [a, b] = nodes;
    const anna = await openSocket(a.port, '/chat?name=anna');
    const ben = await openSocket(b.port, '/chat?name=ben');
    // Until the nodes have found each other, what is said stays on its own.
    const heard = anna.next('say');
    const saying = setInterval(() => ben.send('hello'), 100);
    const { text, node } = await heard.finally(() => clearInterval(saying));
    assert.deepEqual({ text, node }, { text: 'hello', node: 'b' });
    anna.close();
    ben.close();
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
  }
});
