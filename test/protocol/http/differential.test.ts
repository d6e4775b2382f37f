import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Headers, parseFields, toHeaders } from '../../../src/protocol/http/fields.js';
import { corpus, corpusLimits } from '../../corpus/http/index.js';
import { asKnownVersionOfOne, damaged, damages, hasStrangeExtension, requests } from './generated.js';
import { type NodeReading, readByNode } from './node-parser.js';
import { Reader, type ReadRequest } from './reader.js';

const runs = process.env['SOAK'] === '1' ? 42_000 : 4200;
const mutants = 4;

interface Accepted {
  readonly request: ReadRequest;
  readonly bytes: Buffer;
}

function readByUs(stream: string, cut: number): Accepted[] {
  const all = Buffer.from(stream, 'latin1');
  const reader = new Reader(corpusLimits);
  reader.take(all, cut % (all.length + 1));
  reader.take(all, all.length);
  const { requests, ends } = reader;
  return requests.map((request, index) => ({ request, bytes: all.subarray(ends[index - 1] ?? 0, ends[index]) }));
}

/** Node's object has a prototype, so this one name is lost there. */
function withoutProto({ ['__proto__']: _, ...headers }: Headers): Headers {
  return headers;
}

function expectSame({ request, bytes }: Accepted, node: NodeReading): void {
  if (hasStrangeExtension(bytes.toString('latin1'))) return;
  const what = JSON.stringify(bytes.toString('latin1'));
  expect(node.error, `Node refuses what we accept: ${what}`).toBe('');
  const { method, target, version, rawHeaders, body, trailers } = request;
  const headers = withoutProto(toHeaders(rawHeaders));
  const rawTrailers = parseFields(trailers);
  const ours = { method, target, version, rawHeaders, headers, body, rawTrailers, isWhole: true };
  const byNode = node.requests.map((each) => ({ ...each, headers: { ...each.headers } }));
  if (!isDeepStrictEqual(byNode, [ours])) expect(byNode, what).toEqual([ours]);
}

/**
 * Each request on a connection of its own: where one ends in the same place for Node, it must be whole and alone there. On
 * one connection, Node goes by Proxy-Connection and stops at each Upgrade.
 * @returns how many of the streams begin with a request that is accepted
 */
async function expectNodeAgrees(streams: readonly string[], cut: number): Promise<number> {
  const read = streams.map((stream) => readByUs(stream, cut));
  const accepted = read.flat();
  const known = accepted.map(({ bytes }) => Buffer.from(asKnownVersionOfOne(bytes.toString('latin1')), 'latin1'));
  const node = await readByNode(known);
  for (const [index, each] of accepted.entries()) expectSame(each, node[index]!);
  return read.filter(({ length }) => length > 0).length;
}

describe("beside Node's own parser", () => {
  it('reads well-formed requests, and accepts of damaged ones what Node accepts, in the same sense', async () => {
    let accepted = 0;
    const streams = fc.array(requests, { minLength: 1, maxLength: 2 }).map((all) => all.join(''));
    await fc.assert(
      fc.asyncProperty(
        streams,
        fc.array(damages, { minLength: mutants, maxLength: mutants }),
        fc.nat(),
        async (stream, harm, cut) => {
          const twice = harm.slice(1).reduce(damaged, stream);
          accepted += await expectNodeAgrees(
            [stream, ...harm.slice(1).map((each) => damaged(stream, each)), twice],
            cut,
          );
        },
      ),
      { numRuns: runs },
    );
    // It says nothing if hardly anything is accepted, or hardly anything is not.
    const all = runs * (mutants + 1);
    expect(accepted / all).toBeGreaterThan(0.2);
    expect(accepted / all).toBeLessThan(0.9);
  }, 600_000);

  it('means the same as Node by what the corpus says is accepted', async () => {
    const streams = corpus.map((entry) => entry.bytes);
    expect(await expectNodeAgrees(streams, 0)).toBeGreaterThan(200);
  });
});
