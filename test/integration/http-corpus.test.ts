// The whole corpus against the whole server: each entry whole, and cut in two at every byte.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { corpus, corpusLimits, type Entry } from '../corpus/http/index.js';
import { HttpClient } from '../helpers/http-client.js';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';

let server: ServerProcess;
beforeAll(async () => {
  const { lineBytes, headerBytes, headerCount, bodyBytes } = corpusLimits;
  server = await startServer('http.js', {
    env: { MIRROR: '1' },
    options: {
      ...{ workerNum: 1, reactorNum: 1, requestLineLimit: lineBytes, headerCountLimit: headerCount },
      ...{ headerLimit: headerBytes, bodyLimit: bodyBytes },
    },
  });
});
afterAll(endServers);

/** Only entries that keep within what the options allow are told by the server's limits too. */
const entries = corpus.filter(({ theme }) => theme !== 'limits');
/** So many clients at a time. */
const AT_ONCE = 32;

/** What the server answers to the bytes of an entry: statuses, and the requests as its handler saw them. */
async function ask(entry: Entry, cut: number): Promise<{ statuses: number[]; seen: Mirror[] }> {
  const client = await HttpClient.connect(server.port);
  const { accept, refuse } = entry.verdict;
  client.send(entry.bytes.slice(0, cut));
  if (cut < entry.bytes.length) {
    await new Promise((resolve) => setImmediate(resolve));
    client.send(entry.bytes.slice(cut));
  }
  const statuses: number[] = [];
  const seen: Mirror[] = [];
  const methods = accept.map(({ method }) => method);
  for (let wanted = accept.length + (refuse === undefined ? 0 : 1); wanted > 0; ) {
    const answer = await client.answer(methods[seen.length] === 'HEAD');
    if (answer.status === 100) continue;
    statuses.push(answer.status);
    wanted--;
    seen.push(answer.body.startsWith('{') ? (JSON.parse(Buffer.from(answer.body, 'latin1').toString()) as Mirror) : {});
  }
  await client.close();
  return { statuses, seen };
}

interface Mirror {
  readonly method?: string;
  readonly url?: string;
  readonly httpVersion?: string;
  readonly body?: string;
}

async function check(entry: Entry, cut: number): Promise<void> {
  const { accept, refuse } = entry.verdict;
  const { statuses, seen } = await ask(entry, cut);
  const where = `cut at ${cut}`;
  expect(statuses, where).toEqual([...accept.map(() => 200), ...(refuse === undefined ? [] : [refuse])]);
  accept.forEach(({ method, target, version, body }, index) => {
    if (method === 'HEAD') return;
    expect(seen[index], where).toMatchObject({ method, url: target, httpVersion: version, body });
  });
}

describe.each([...new Set(entries.map(({ theme }) => theme))])('%s', (theme) => {
  it.each(entries.filter((entry) => entry.theme === theme))('$title', async (entry) => {
    await check(entry, entry.bytes.length);
    const cuts = Array.from({ length: entry.bytes.length - 1 }, (_, index) => index + 1);
    while (cuts.length > 0) await Promise.all(cuts.splice(0, AT_ONCE).map((cut) => check(entry, cut)));
  });
});
