import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEADLINE_MS } from './deadline.js';

const BINARIES = '/usr/lib/postgresql/15/bin';

/** Debian: postgresql-15. */
export const hasPostgres = existsSync(`${BINARIES}/initdb`);

export interface PostgresProcess {
  readonly url: string;
  kill(): Promise<void>;
  /** Same port, same folder. Resolves when it takes connections. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A PostgreSQL of its own in a temporary folder, with a password that its URL has. It refuses to run as root. */
export async function startPostgres(): Promise<PostgresProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'tswoole-postgres-'));
  const user = whoRuns();
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const [data, port] = [join(folder, 'data'), await freePort()];
  const how = { ...user, cwd: folder, stdio: 'ignore' as const };
  execFileSync(`${BINARIES}/initdb`, ['-D', data, '-U', 'jobs', '--auth', 'trust', '--no-sync'], how);
  const args = ['-D', data, '-p', `${port}`, '-k', folder, '-h', '127.0.0.1'];
  const start = async () => {
    const server = spawn(`${BINARIES}/postgres`, args, how);
    await answering(port, server);
    return server;
  };
  let server = await start();
  return {
    url: `postgres://jobs@127.0.0.1:${port}/postgres`,
    kill: () => end(server, 'SIGQUIT'),
    restart: async () => {
      await end(server, 'SIGQUIT');
      server = await start();
    },
    stop: async () => {
      await end(server, 'SIGQUIT');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function whoRuns(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === 'postgres');
  if (entry === undefined) throw new Error('there is no user "postgres"');
  return { uid: Number(entry[2]), gid: Number(entry[3]) };
}

async function answering(port: number, server: ChildProcess): Promise<void> {
  const until = Date.now() + DEADLINE_MS;
  for (;;) {
    try {
      execFileSync(`${BINARIES}/pg_isready`, ['-q', '-h', '127.0.0.1', '-p', `${port}`], { stdio: 'ignore' });
      return;
    } catch (cause) {
      if (server.exitCode !== null || Date.now() > until) throw new Error('postgres did not start', { cause });
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** SIGQUIT is its word for an end without writing anything down: its children go with it. */
async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill(signal);
  await ended;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
