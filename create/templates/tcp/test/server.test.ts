import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { startServer } from './start.js';

test('each line is answered', { timeout: 60_000 }, async () => {
  const server = await startServer();
  try {
    const socket = connect(server.port, '127.0.0.1');
    const lines = createInterface({ input: socket });
    socket.write('hel');
    socket.write('lo\n');
    assert.deepEqual(await once(lines, 'line'), ['you said: hello']);
    socket.write('quit\n');
    await once(lines, 'close');
    socket.destroy();
  } finally {
    await server.stop();
  }
});
