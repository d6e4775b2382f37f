/** Node's own parser, asked through its server without a socket. */
import { createServer, type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { setImmediate as tick } from 'node:timers/promises';

export interface NodeRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage['headers'];
  body: string;
  rawTrailers: readonly string[];
  isWhole: boolean;
}

export interface NodeReading {
  readonly requests: NodeRequest[];
  /** What Node says is wrong; '' if nothing. */
  error: string;
}

/** One end of a connection: `bytes` is what a client sends, what it is answered is nothing to us. */
class Client extends Duplex {
  readonly reading: NodeReading = { requests: [], error: '' };

  constructor(bytes: Buffer) {
    super();
    this.push(bytes);
  }

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}

const server = createServer({ maxHeaderSize: 65_536 });
server.on('request', (incoming: IncomingMessage) => {
  const { method = '', url: target = '', httpVersion: version, rawHeaders, headers } = incoming;
  const { requests } = (incoming.socket as unknown as Client).reading;
  const request: NodeRequest = {
    method,
    target,
    version,
    rawHeaders,
    headers,
    body: '',
    rawTrailers: [],
    isWhole: false,
  };
  requests.push(request);
  incoming.on('data', (piece: Buffer) => {
    request.body += piece.toString('latin1');
  });
  incoming.on('end', () => {
    request.rawTrailers = incoming.rawTrailers;
    request.isWhole = true;
  });
});
server.on('clientError', (error: Error & { code?: string; reason?: string }, socket) => {
  (socket as unknown as Client).reading.error = `${error.code ?? error.message} ${error.reason ?? ''}`.trim();
});

/** @returns what Node reads on each of these connections */
export async function readByNode(streams: readonly Buffer[]): Promise<NodeReading[]> {
  const clients = streams.map((bytes) => new Client(bytes));
  for (const client of clients) server.emit('connection', client);
  // All of it is callbacks of streams: they have run when the loop comes round.
  for (let turn = 0; turn < 3 && !clients.every(({ reading }) => isOver(reading)); turn++) await tick();
  for (const client of clients) client.destroy();
  return clients.map(({ reading }) => reading);
}

function isOver({ requests, error }: NodeReading): boolean {
  return error !== '' || (requests.length > 0 && requests.every(({ isWhole }) => isWhole));
}
