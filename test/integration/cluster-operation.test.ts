import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control/client.js';
import type { ClusterStatus, ServerStatus } from '../../src/control/controlled.js';
import type { ClusterStats, ServerStats } from '../../src/control/stats.js';
import { clientsOfTests } from '../helpers/cluster-client.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { LastingServers } from '../helpers/lasting-servers.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { tswoole } from '../helpers/tswoole.js';

let engine: EngineProcess | undefined;
/** The nodes of all tests, which each leaves as it has found them, or ends. */
const lasting = new LastingServers(async () => {
  await engine?.stop();
  engine = undefined;
});
afterEach(endServers);
const connect = clientsOfTests();

/** What is of one node alone. */
const own: Readonly<Record<string, object>> = { a: { readyNeedsEngine: true }, b: { maxBufferedBytes: '64k' } };

async function startNode(nodeId: string): Promise<ServerProcess> {
  const cluster = { driver: 'redis', url: engine?.url, nodeId, heartbeatMs: 200, ttlMs: 1500, ...own[nodeId] };
  const options = { admin: { port: 0 }, workerNum: 1, reactorNum: 1 };
  return startServer('cluster.js', { copy: true, options, env: { CLUSTER: JSON.stringify(cluster) } });
}

/** All of them know each other, and nobody else. */
async function shareNodes<const I extends readonly string[]>(...ids: I): Promise<{ [K in keyof I]: ServerProcess }> {
  engine ??= await startRedis();
  const servers = await Promise.all(ids.map((id) => lasting.share(id, () => startNode(id))));
  for (const server of servers) await knows(server, ids);
  return servers as { [K in keyof I]: ServerProcess };
}

const figuresOf = async (server: ServerProcess): Promise<ClusterStats> => {
  const { cluster } = await call<ServerStats>(server, 'stats');
  if (cluster === undefined || cluster === null) throw new Error('there are no figures of a cluster');
  return cluster;
};

/** One command by the control socket. */
async function call<T>(server: ServerProcess, command: string, given: object = {}): Promise<T> {
  const client = await ControlClient.connect(join(server.runDir, `${server.masterPid}.sock`));
  try {
    return (await client.call(command, given, 30_000)) as T;
  } finally {
    client.close();
  }
}

const nodesOf = (server: ServerProcess): Promise<ClusterStatus> => call(server, 'nodes');

async function knows(server: ServerProcess, ids: readonly string[]): Promise<void> {
  await poll(`it knows ${ids.join(', ')}`, async () => {
    const { state, nodes } = await nodesOf(server);
    return (
      state === 'up' &&
      nodes
        .map(({ id }) => id)
        .sort()
        .join() === [...ids].sort().join()
    );
  });
}

async function admin(server: ServerProcess, path: string): Promise<{ status: number; text: string }> {
  const { admin: url } = await call<ServerStatus>(server, 'status');
  const answer = await fetch(`${url}${path}`);
  return { status: answer.status, text: await answer.text() };
}

const workerPids = ({ workers }: ServerProcess): number[] => workers.map(({ pid }) => pid).sort();

function broker(server: ServerProcess): number {
  const [found] = server.tree().filter(({ title }) => title.endsWith(': process cluster'));
  if (found === undefined) throw new Error('there is no broker process');
  return found.pid;
}

const WAIT = "while (!(await import('node:fs')).existsSync('go')) await new Promise((next) => setTimeout(next, 20));\n";

/** New workers of that node wait until the test lets them go on. */
function holdBoot(server: ServerProcess): () => void {
  const go = join(server.folder, 'go');
  rmSync(go, { force: true });
  if (!readFileSync(server.script, 'utf8').includes(WAIT)) {
    server.edit((source) => source.replace('const cluster', `${WAIT}const cluster`));
  }
  return () => writeFileSync(go, '');
}

/** How far the reload that was ordered at this node is. */
async function stateOf(at: ServerProcess, node: string): Promise<string | undefined> {
  return (await nodesOf(at)).reload?.nodes.find((step) => step.node === node)?.state;
}

const replaced = async (server: ServerProcess, before: readonly number[]): Promise<void> => {
  await poll('the old workers have ended', () => workerPids(server).every((pid) => !before.includes(pid)));
};

describe.skipIf(!hasRedis)('the nodes of a cluster', () => {
  it('are listed, and this one is marked', async () => {
    const [a] = await shareNodes('a', 'b');
    expect(await tswoole(a, 'jobs')).toMatchObject({ code: 1, err: expect.stringContaining('ERR_NO_JOBS') });
    const { code, out } = await tswoole(a, 'nodes');
    expect(code).toBe(0);
    const lines = out.split('\n');
    expect(lines[0]).toMatch(/NODE +INCARNATION +ADDRESS +VERSION/);
    expect(lines.find((line) => line.startsWith('*'))).toMatch(/^\* +a +\S+-\S+ +\S+:\d+ +\S+/);
    expect(lines.filter((line) => / b +\S+-\S+ +\S+:\d+/.test(line))).toHaveLength(1);
    expect(out).toContain(`redis 127.0.0.1:${engine?.port} up`);
    const json = JSON.parse((await tswoole(a, 'nodes', '--json')).out) as ClusterStatus;
    expect(json).toMatchObject({ nodeId: 'a', driver: 'redis', state: 'up', why: '', reload: null });
    expect(json.nodes.map(({ id, self }) => [id, self]).sort()).toEqual([
      ['a', true],
      ['b', false],
    ]);
    expect(JSON.parse((await admin(a, '/api/nodes')).text)).toEqual(json);
    const { out: status } = await tswoole(a, 'status');
    expect(status).toMatch(/^nodes +a \(this one\), b$/m);
    expect(status).toMatch(/^cluster +redis \S+ up; 0 published/m);
  });

  it('are counted in the metrics, and in stats() of every process', async () => {
    const [a] = await shareNodes('a', 'b');
    const before = await figuresOf(a);
    const published = before.published + 1;
    const client = await connect(a);
    await client.ask('join hall');
    await client.ask('news one');
    await poll('the figures are there', async () => {
      const now = (await client.ask('figures')) as ClusterStats;
      return now.followedRooms === 1 && now.published === published && now.delivered === before.delivered + 1;
    });
    const { lost, reconnects } = before;
    expect(await figuresOf(a)).toMatchObject({
      state: 'up',
      nodeNum: 2,
      published,
      lost,
      reconnects,
      bufferedBytes: 0,
    });
    const { text } = await admin(a, '/metrics');
    const counted = [`published_total ${published}`, `lost_total ${lost}`, `reconnects_total ${reconnects}`];
    for (const line of ['up 1', 'nodes 2', 'rooms 1', ...counted]) {
      expect(text).toContain(`\ntswoole_cluster_${line}\n`);
    }
  });

  it('refuse a text of `tswoole publish` that is too long for the engine, with its length and the limit', async () => {
    const [, server] = await shareNodes('a', 'b');
    const client = await connect(server);
    await client.ask('join hall');
    const { code, out, err } = await tswoole(server, 'publish', 'hall', 'x'.repeat(100_000));
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain('One message may have 65280 bytes on this cluster, received 100000.');
    await tswoole(server, 'publish', 'hall', 'short');
    await poll('the next one comes', async () => client.said.length > 0);
    expect(client.said).toEqual(['short']);
    const long = { room: 'hall', text: 'x'.repeat(70_000) };
    const refused = await call(server, 'publish', long).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'ERR_CLUSTER_PAYLOAD', detail: { bytes: 70_000, most: 65_280 } });
  });

  it('say when the engine is lost, and when it is there again', async () => {
    const [a, b] = await shareNodes('a', 'b');
    const before = await figuresOf(a);
    expect(await admin(a, '/readyz')).toEqual({ status: 200, text: 'ready\n' });
    await engine?.kill('SIGKILL');
    await poll('it is seen', async () => (await nodesOf(a)).state === 'reconnecting');
    expect(await admin(a, '/readyz')).toEqual({ status: 503, text: 'the engine of the cluster is reconnecting\n' });
    expect((await admin(b, '/readyz')).status).toBe(200);
    expect((await admin(a, '/metrics')).text).toMatch(/\ntswoole_ready 0\n[\s\S]*\ntswoole_cluster_up 0\n/);
    const lost = await tswoole(a, 'nodes');
    expect(lost.out).toMatch(/ b +/);
    expect(lost.out).toContain('reconnecting: nodes as last known');
    expect((await tswoole(a, 'status')).out).toMatch(/^cluster +redis \S+ reconnecting: /m);
    const refused = await tswoole(a, 'reload', '--all-nodes');
    expect(refused).toMatchObject({ code: 1, err: expect.stringMatching(/reconnecting.*ERR_NODE_RELOAD/) });
    await engine?.restart();
    await knows(a, ['a', 'b']);
    expect((await admin(a, '/readyz')).status).toBe(200);
    const { state, reconnects } = await figuresOf(a);
    expect({ state, hasCounted: reconnects > before.reconnects }).toEqual({ state: 'up', hasCounted: true });
  });

  it('are listed again after a kill of the broker process, which goes on counting', async () => {
    const [a] = await shareNodes('a', 'b');
    const client = await connect(a);
    const { published } = await figuresOf(a);
    await client.ask('news one');
    await poll('it is counted', async () => (await figuresOf(a)).published === published + 1);
    const before = broker(a);
    a.signal('SIGKILL', before);
    await poll('it is seen', async () => (await nodesOf(a)).state === 'down');
    await knows(a, ['a', 'b']);
    expect(broker(a)).not.toBe(before);
    await client.ask('news two');
    await poll('it goes on', async () => (await figuresOf(a)).published === published + 2);
  });

  it('say why there is no cluster, where the engine was never there', async () => {
    const [a] = await shareNodes('a', 'b');
    await engine?.kill('SIGKILL');
    const late = await startNode('late');
    const told = await poll('the reason is known', async () => {
      const status = await nodesOf(late);
      return status.why !== '' && status;
    });
    expect(told.state).toBe('down');
    expect(told.why).toContain(String(engine?.port));
    await engine?.restart();
    for (const node of [a, late]) await knows(node, ['a', 'b', 'late']);
    await late.stop();
    await knows(a, ['a', 'b']);
  });
});

describe.skipIf(!hasRedis)('a reload of all nodes', () => {
  it('takes one node after another, this one last', async () => {
    const servers = await shareNodes('a', 'b', 'c');
    const [a, b, c] = servers;
    const before = servers.map(workerPids);
    const go = holdBoot(b);
    const reload = tswoole(a, 'reload', '--all-nodes');
    await poll('the first is on its way', async () => (await stateOf(a, 'b')) === 'reloading');
    await poll('its new workers boot', () => workerPids(b).length > 1);
    const second = await tswoole(a, 'reload', '--all-nodes');
    expect(second).toMatchObject({ code: 1, err: expect.stringContaining('another reload of all nodes is running') });
    expect([await stateOf(a, 'c'), await stateOf(a, 'a')]).toEqual(['waiting', 'waiting']);
    expect([workerPids(a), workerPids(c)]).toEqual([before[0], before[2]]);
    go();
    const { code, out, err } = await reload;
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(
      /^b: reloading …\nb: reloaded\n[\s\S]*c: reloaded\n[\s\S]*a: reloaded\n3 nodes have new workers/,
    );
    for (const [index, server] of servers.entries()) await replaced(server, before[index] ?? []);
  });

  it('stops at a node whose new workers do not boot, and names it', async () => {
    const servers = await shareNodes('a', 'b', 'c');
    const [a, b, c] = servers;
    const before = servers.map(workerPids);
    const fault = "throw new Error('broken by the test');\n";
    c.edit((source) => source.replace('const cluster', `${fault}const cluster`));
    const { code, out, err } = await tswoole(a, 'reload', '--all-nodes');
    expect(code).toBe(1);
    expect(out).toContain('b: reloaded\n');
    expect(err).toContain('stopped at node "c" (before a): worker ');
    expect(err).toContain('broken by the test');
    await replaced(b, before[1] ?? []);
    await poll('those of the others stay', () => workerPids(c).join() === before[2]?.join());
    expect(workerPids(a)).toEqual(before[0]);
    expect((await nodesOf(a)).reload).toMatchObject({
      running: false,
      nodes: [
        { node: 'b', state: 'reloaded' },
        { node: 'c', state: 'failed', why: expect.stringContaining('broken by the test') },
        { node: 'a', state: 'waiting' },
      ],
    });
    c.edit((source) => source.replace(fault, ''));
  });

  it('skips a node that has left meanwhile, and names it', async () => {
    const [a, b] = await shareNodes('a', 'b', 'c');
    const go = holdBoot(b);
    const reload = tswoole(a, 'reload', '--all-nodes');
    await poll('the first is on its way', async () => (await stateOf(a, 'b')) === 'reloading');
    await lasting.stop('c');
    await knows(a, ['a', 'b']);
    go();
    const { code, out } = await reload;
    expect(code).toBe(0);
    expect(out).toContain('c: skipped, it has left the cluster');
    expect(out).toMatch(/2 nodes have new workers, after .*; 1 skipped\.\n$/);
  });

  it('skips a node that stops when its turn comes, and one that stops while it is reloaded', async () => {
    const [a, b, c] = await shareNodes('a', 'b', 'c');
    const go = holdBoot(b);
    const reload = tswoole(a, 'reload', '--all-nodes');
    await poll('the first is on its way', async () => (await stateOf(a, 'b')) === 'reloading');
    const client = await connect(c);
    void client.ask('slow c').catch(() => {}); // its server waits for that callback, some seconds
    await c.waitForEvent('asks');
    c.signal('SIGTERM');
    go();
    const { code, out, err } = await reload;
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/c: skipped, .*\n/);
    await lasting.stop('c');
    await knows(a, ['a', 'b']);
    holdBoot(b);
    const second = tswoole(a, 'reload', '--all-nodes');
    await poll('it is on its way', async () => (await stateOf(a, 'b')) === 'reloading');
    await lasting.stop('b');
    const { code: alone, out: said } = await second;
    expect([alone, said]).toEqual([0, expect.stringMatching(/b: skipped, .*\n/)]);
  });

  it('asks a node again whose broker process is killed meanwhile', async () => {
    const [a, b] = await shareNodes('a', 'b');
    const before = workerPids(b);
    const go = holdBoot(b);
    const reload = tswoole(a, 'reload', '--all-nodes');
    await poll('the first is on its way', async () => (await stateOf(a, 'b')) === 'reloading');
    b.signal('SIGKILL', broker(b));
    go();
    const { code, out } = await reload;
    expect([code, out]).toEqual([0, expect.stringContaining('b: reloaded\n')]);
    await replaced(b, before);
  });

  it('ends when the broker process is killed, and when the node that reloads is', async () => {
    const [a, b] = await shareNodes('a', 'b');
    holdBoot(b);
    const orphaned = tswoole(a, 'reload', '--all-nodes');
    await poll('the first is on its way', async () => (await stateOf(a, 'b')) === 'reloading');
    a.signal('SIGKILL', broker(a));
    expect(await orphaned).toMatchObject({ code: 1, err: expect.stringContaining('broker process of this node') });
    await knows(a, ['a', 'b']);
    const left = tswoole(a, 'reload', '--all-nodes');
    await poll('the first is on its way', async () => (await stateOf(a, 'b')) === 'reloading');
    b.signal('SIGKILL', broker(b)); // first: one that sees its manager die says goodbye
    b.signalAll('SIGKILL');
    expect(await left).toMatchObject({
      code: 1,
      err: expect.stringContaining('Node "b" is no longer in the cluster. Nodes'),
    });
    await lasting.stop('b');
    await knows(a, ['a']);
    const { code, out } = await tswoole(a, 'reload', '--all-nodes');
    expect(code).toBe(0);
    expect(out).toContain('b: skipped, it was lost before, and may serve on with its old workers\n');
    expect((await tswoole(a, 'nodes')).out).toContain('\nLost, and may serve on: b\n');
  });
});
