// Length-prefixed RPC: each packet is 4 bytes of length and a JSON request {id, method, params}; the answer has the same
// id, so a client may have several calls in flight. examples/rpc/client.js is the other side.
import { Server } from 'tswoole';

const server = new Server({
  port: Number(process.env.PORT ?? 9502),
  framing: { type: 'length', field: 'u32be', offset: 0, bodyOffset: 4 },
  packageMaxLength: '1m',
});

const methods = {
  add: ({ a, b }) => a + b,
  upper: ({ text }) => text.toUpperCase(),
  worker: () => server.workerId,
  slow: ({ ms }) => new Promise((resolve) => setTimeout(resolve, ms, 'done')),
};

function packet(message) {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}

async function answer({ id, method, params }) {
  if (!Object.hasOwn(methods, method)) return { id, error: `there is no method ${method}` };
  try {
    return { id, result: await methods[method](params ?? {}) };
  } catch (error) {
    return { id, error: error.message };
  }
}

server.on('receive', async (conn, data) => {
  let request;
  try {
    request = JSON.parse(data.subarray(4));
  } catch {
    conn.close(); // a client that sends no JSON speaks another protocol
    return;
  }
  conn.send(packet(await answer(request)));
});

await server.start();
console.log(`RPC server listening on ${server.host}:${server.port}
try  node examples/rpc/client.js ${server.port}`);
