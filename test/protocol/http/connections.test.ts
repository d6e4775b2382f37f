/**
 * Whole connections, read by us and by Node's own parser: wherever a request is accepted here, Node accepts the same one,
 * and neither sees one where the other does not.
 */
import { createServer, type IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { setImmediate as tick } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseFields } from '../../../src/protocol/http/fields.js';
import { corpusLimits } from '../../corpus/http/index.js';
import { asKnownVersion, damaged, damages, hasStrangeExtension, pipelines, upgrades } from './generated.js';
import { Reader, type ReadRequest } from './reader.js';

const runs = process.env['SOAK'] === '1' ? 200_000 : 20_000;
/** Sockets are let go between rounds, not between runs: a turn of the loop costs more than a run. */
const runsOfRound = 1000;

/** The other end of a connection, on which nobody listens to what is answered. */
class Silent extends Duplex {
  readonly requests: IncomingMessage[] = [];
  error = '';

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}

const server = createServer({ insecureHTTPParser: false });
const keep = (incoming: IncomingMessage): void => {
  (incoming.socket as unknown as Silent).requests.push(incoming);
};
server.on('request', keep);
server.on('checkContinue', keep);
server.on('clientError', (error: Error & { code?: string }, socket) => {
  (socket as unknown as Silent).error = error.code ?? error.message;
});

interface Compared {
  readonly method: string | undefined;
  readonly target: string | undefined;
  readonly version: string;
  readonly rawHeaders: readonly string[];
  readonly body: string;
  readonly rawTrailers: readonly string[];
}

/** Node parses what a socket emits within the same call, so nothing has to be awaited. */
function readByNode(bytes: Buffer): { requests: Compared[]; error: string } {
  const socket = new Silent();
  server.emit('connection', socket);
  socket.emit('data', bytes);
  const requests = socket.requests.filter(({ complete }) => complete).map(asReadByNode);
  socket.destroy();
  return { requests, error: socket.error };
}

function asReadByNode(incoming: IncomingMessage): Compared {
  const { method, url: target, httpVersion: version, rawHeaders, rawTrailers } = incoming;
  let body = '';
  // One call gives all there is, or one piece of it, as the version of Node has it.
  for (let piece: Buffer | null = incoming.read(); piece !== null; piece = incoming.read()) {
    body += piece.toString('latin1');
  }
  return { method, target, version, rawHeaders, body, rawTrailers };
}

function asReadByUs({ method, target, version, rawHeaders, body, trailers }: ReadRequest): Compared {
  return { method, target, version, rawHeaders, body, rawTrailers: parseFields(trailers) };
}

function readByUs(bytes: Buffer): Reader {
  const reader = new Reader(corpusLimits);
  reader.take(bytes, bytes.length);
  return reader;
}

/** Whitespace as any other (RFC 9110 5.6.3); Node 20 does not know an option in front of a tab. */
function hasTabInConnection(text: string): boolean {
  return /\r\nconnection:[^\r]*\t/i.test(text);
}

/**
 * What Node makes of that which is not accepted here is nothing to us; nor is what it reads behind a request that asked for
 * the end of the connection: in HTTP/1.0, it takes `keep-alive` for more than `close` (RFC 9112 9.3 says otherwise).
 * @returns how many requests were accepted
 */
function expectNodeAgrees(given: string): number {
  const text = asKnownVersion(given);
  const bytes = Buffer.from(text, 'latin1');
  const { requests, refusal } = readByUs(bytes);
  const node = readByNode(bytes);
  const isOver = refusal !== undefined || requests.at(-1)?.keepAlive === false;
  const theirs = isOver ? node.requests.slice(0, requests.length) : node.requests;
  const mayRefuse = node.error === 'HPE_CLOSED_CONNECTION' ? hasTabInConnection(text) : hasStrangeExtension(text);
  const count = node.error !== '' && mayRefuse ? theirs.length : requests.length;
  const ours = requests.slice(0, count).map(asReadByUs);
  if (!isDeepStrictEqual(theirs, ours)) {
    expect(theirs, `${JSON.stringify(text)} (Node says: ${node.error || 'nothing'})`).toEqual(ours);
  }
  return ours.length;
}

/** Each round with a seed of its own, which is told when it fails. */
async function inRounds(streams: fc.Arbitrary<string>, count: number): Promise<number> {
  let accepted = 0;
  for (let left = count; left > 0; left -= runsOfRound) {
    const property = fc.property(streams, (text) => {
      accepted += expectNodeAgrees(text);
    });
    fc.assert(property, { numRuns: Math.min(left, runsOfRound) });
    await tick();
  }
  return accepted / count;
}

it('Node sees the same requests on connections of well-formed ones', async () => {
  expect(await inRounds(pipelines, runs / 4)).toBeGreaterThan(1);
});

it('Node sees the same request where another protocol is asked for', async () => {
  expect(await inRounds(upgrades, runs / 20)).toBeGreaterThan(0.9);
});

it('Node sees the same requests on damaged connections', async () => {
  const streams = fc
    .tuple(pipelines, fc.array(damages, { minLength: 1, maxLength: 3 }))
    .map(([text, all]) => all.reduce(damaged, text));
  const accepted = await inRounds(streams, (runs * 7) / 10);
  // It says nothing if hardly anything is accepted.
  expect(accepted).toBeGreaterThan(0.3);
});
