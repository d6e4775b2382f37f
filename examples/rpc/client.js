// The client of examples/rpc: calls may overlap, answers arrive as they become ready.
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

export class RpcClient {
  #socket;
  #calls = new Map();
  #nextId = 1;
  #rest = Buffer.alloc(0);

  constructor(port, host = '127.0.0.1') {
    this.#socket = connect(port, host);
    this.#socket.on('data', (data) => this.#take(data));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  call(method, params) {
    const id = this.#nextId++;
    const body = Buffer.from(JSON.stringify({ id, method, params }));
    const head = Buffer.alloc(4);
    head.writeUInt32BE(body.length);
    this.#socket.write(Buffer.concat([head, body]));
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
  }

  close() {
    this.#socket.end();
  }

  #take(data) {
    this.#rest = Buffer.concat([this.#rest, data]);
    while (this.#rest.length >= 4 && this.#rest.length >= 4 + this.#rest.readUInt32BE()) {
      const end = 4 + this.#rest.readUInt32BE();
      this.#settle(JSON.parse(this.#rest.subarray(4, end)));
      this.#rest = this.#rest.subarray(end);
    }
  }

  #settle({ id, result, error }) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new Error(error));
  }

  #fail(error) {
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const client = new RpcClient(Number(process.argv[2] ?? 9502));
  const calls = [client.call('slow', { ms: 200 }), client.call('add', { a: 1, b: 2 }), client.call('nothing')];
  console.log(await Promise.allSettled(calls));
  client.close();
}
