/** Passes bytes on to a server, and spoils three of four connections at one place of what the client sends. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface SpoilingProxy {
  readonly port: number;
  close(): void;
}

/** The place differs from client to client, and lies within its first bytes. */
const FARTHEST_BYTES = 2500;
const PIECE_BYTES = 171;
/** Client and server may both wait for more then. */
const PATIENCE_MS = 500;

/** What becomes of the bytes that have the place `at` in them. */
const ways: readonly ((bytes: Buffer, at: number, upstream: Socket) => void)[] = [
  (bytes, at, upstream) => {
    bytes[at] = (bytes[at] ?? 0) ^ 4;
    upstream.write(bytes);
  },
  (bytes, at, upstream) => void upstream.end(bytes.subarray(0, at)),
  (bytes, at, upstream) => void upstream.write(Buffer.concat([bytes.subarray(0, at), Buffer.alloc(200, at)])),
];

function inPieces(bytes: Buffer, upstream: Socket): void {
  for (let from = 0; from < bytes.length; from += PIECE_BYTES) upstream.write(bytes.subarray(from, from + PIECE_BYTES));
}

export async function spoilingProxy(port: number): Promise<SpoilingProxy> {
  let clients = 0;
  const proxy = createServer((client) => {
    const spoil = ways[clients % 4];
    let at = (clients++ * 97) % FARTHEST_BYTES;
    const upstream = connect(port, '127.0.0.1').setNoDelay(true);
    client.on('data', (bytes) => {
      const isHere = at >= 0 && at < bytes.length;
      if (spoil === undefined || !isHere) inPieces(bytes, upstream);
      else spoil(bytes, at, upstream);
      if (isHere && spoil !== undefined) setTimeout(() => client.destroy(), PATIENCE_MS);
      at -= bytes.length;
    });
    upstream.on('data', (bytes) => client.write(bytes));
    for (const socket of [client, upstream]) {
      socket.on('error', () => {});
      socket.on('close', () => [client, upstream].map((one) => one.destroy()));
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return { port: (proxy.address() as { port: number }).port, close: () => void proxy.close() };
}
