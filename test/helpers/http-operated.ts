/** An HTTP server that is reloaded, and whose workers are killed, under load: what the short form and the long one share. */
import type { ClientInfo } from '../../src/memory/connection-table.js';
import { HttpClient } from './http-client.js';
import { poll, type ServerProcess, startServer } from './server-process.js';
import { startWrk, type WrkResult } from './wrk.js';

export interface HttpOperated {
  readonly result: WrkResult;
  readonly reloads: number;
  readonly kills: number;
  /** 502s the server has given. */
  readonly badGateways: number;
}

export async function operateHttp(rounds: number, connections: number, kills: boolean): Promise<HttpOperated> {
  const server = await startServer('http.js', { options: { workerNum: 2, logLevel: 'warn' } });
  const load = startWrk(`http://127.0.0.1:${server.port}/`, connections, 600);
  await poll('the load is there', async () => (await requestsOf(server)) > 1000);
  let [reloads, killed] = [0, 0];
  for (; reloads < rounds; reloads++) await reload(server, reloads);
  for (; kills && killed < rounds; killed++) await kill(server, killed % 2);
  await everyClientGoesOn(server, connections);
  load.stop();
  const result = await load.done;
  return { result, reloads, kills: killed, badGateways: Number((await statsOf(server))['badGatewayCount']) };
}

async function reload(server: ServerProcess, done: number): Promise<void> {
  server.signal('SIGUSR1');
  await server.waitFor('a reload', () => server.events('afterReload').length > done, 30_000);
}

/** Waits until its successor serves. */
async function kill(server: ServerProcess, id: number): Promise<void> {
  const victim = server.worker(id);
  if (victim === undefined) throw new Error(`there is no worker ${id}`);
  const starts = server.events('workerStart').length;
  server.signal('SIGKILL', victim.pid);
  await server.waitFor('another worker', () => server.events('workerStart').length > starts, 30_000);
  const before = await requestsOf(server);
  await poll('it goes on', async () => (await requestsOf(server)) > before + 500, 30_000);
}

/** Each sends its next request when the answer has come: one whose answer is lost never does again. */
async function everyClientGoesOn(server: ServerProcess, connections: number): Promise<void> {
  const since = Date.now();
  const isOn = ({ connectedAt, lastReceivedAt }: ClientInfo) => Math.max(connectedAt, lastReceivedAt) > since;
  await poll('each connection has been answered since the last disturbance', async () => {
    const clients = (await ask(server, '/clients')) as ClientInfo[];
    return clients.length > connections && clients.every(isOn);
  });
}

async function statsOf(server: ServerProcess): Promise<Record<string, unknown>> {
  return (await ask(server, '/stats')) as Record<string, unknown>;
}

async function ask(server: ServerProcess, path: string): Promise<unknown> {
  const client = await HttpClient.connect(server.port);
  const { body } = await client.get(path);
  await client.close();
  return JSON.parse(body);
}

async function requestsOf(server: ServerProcess): Promise<number> {
  return Number((await statsOf(server))['requestCount']);
}
