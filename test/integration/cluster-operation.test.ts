import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control/client.js';
import type { ClusterStatus, ServerStatus } from '../../src/control/controlled.js';
import type { ServerStats } from '../../src/control/stats.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

let engine: EngineProcess | undefined;
afterEach(async () => {
  await endServers();
  await engine?.stop();
});

async function startNode(nodeId: string, more: object = {}): Promise<ServerProcess> {
  const cluster = { driver: 'redis', url: engine?.url, nodeId, heartbeatMs: 200, ttlMs: 1500, ...more };
  const options = { admin: { port: 0 } };
  return startServer('cluster.js', { copy: true, options, env: { CLUSTER: JSON.stringify(cluster) } });
}

/** All of them know each other. */
async function startNodes(...ids: string[]): Promise<ServerProcess[]> {
  engine = await startRedis();
  const servers = await Promise.all(ids.map((id) => startNode(id)));
  for (const server of servers) await knows(server, ids);
  return servers;
}

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

async function tswoole(
  server: ServerProcess,
  ...args: string[]
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [MAIN, ...args, '--run-dir', server.runDir], {
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out, err };
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

describe.skipIf(!hasRedis)('operation of several nodes', () => {
  it('lists the nodes, and marks this one', async () => {
    const [a] = (await startNodes('a', 'b')) as [ServerProcess, ServerProcess];
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
    const { stdout } = { stdout: (await tswoole(a, 'status')).out };
    expect(stdout).toMatch(/^nodes +a \(this one\), b$/m);
    expect(stdout).toMatch(/^cluster +redis \S+ up; /m);
  });
});
