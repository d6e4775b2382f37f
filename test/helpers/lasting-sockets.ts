/** Sockets in rooms through reloads and killed workers: what the short form and the long one have in common. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { RoomMember } from './room-members.js';
import { poll, type ServerProcess } from './server-process.js';

const CLI = fileURLToPath(new URL('../../dist/cli/main.cjs', import.meta.url));

export interface Lasting {
  readonly count: number;
  readonly tls: boolean;
  readonly reloads: number;
  readonly kills: number;
}

/** Two of three leave `third` empty of them. */
const roomsOf = (index: number): string[] => (index % 3 === 0 ? ['all', 'third'] : ['all']);

export async function reload(server: ServerProcess): Promise<void> {
  const before = server.events('afterReload').length;
  server.signal('SIGUSR1');
  await server.waitFor('a reload', () => server.events('afterReload').length > before);
}

/** @param id of the worker @returns the pid of the killed one */
export async function killWorker(server: ServerProcess, id: number): Promise<number> {
  const victim = server.worker(id);
  if (victim === undefined) throw new Error(`there is no worker ${id}`);
  server.signal('SIGKILL', victim.pid);
  await untilSucceeded(server, id, victim.pid);
  return victim.pid;
}

/** @param pid of the worker `id` that has died, or does so now */
export async function untilSucceeded(server: ServerProcess, id: number, pid: number): Promise<void> {
  await poll('it has a successor', () => {
    const now = server.worker(id);
    return now !== undefined && now.pid !== pid;
  });
}

/** By `tswoole scale`. */
export async function scale(server: ServerProcess, workerNum: number): Promise<void> {
  const env = { ...process.env, TSWOOLE_OPTION_RUN_DIR: server.runDir };
  await promisify(execFile)(process.execPath, [CLI, 'scale', String(workerNum)], { env, cwd: server.folder });
}

/** Nobody was closed, and everybody can speak, and is who it was. */
export async function expectIntact(members: readonly RoomMember[]): Promise<void> {
  expect(members.filter(({ end }) => end !== undefined).map(({ name, end }) => `${name} ${end}`)).toEqual([]);
  expect(members.flatMap(({ faults }) => faults)).toEqual([]);
  const answers = await Promise.all(members.map((member) => member.ask(`echo ${member.name}`)));
  expect(answers).toEqual(members.map(({ name }) => name));
  const data = await Promise.all(members.map((member) => member.ask('data')));
  expect(data.map((text) => JSON.parse(text).name)).toEqual(members.map(({ name }) => name));
}

export async function expectSizes(member: RoomMember, sizes: Readonly<Record<string, number>>): Promise<void> {
  for (const [room, size] of Object.entries(sizes)) {
    let last = '';
    await poll(
      `the room ${room} has ${size} members`,
      async () => {
        last = await member.ask(`size ${room}`);
        return last === String(size);
      },
      5000,
    ).catch(() => expect(`${room} ${last}`).toBe(`${room} ${size}`));
  }
}

/** All that a source has published has come to all members. @param isNew it has begun when all were members */
export async function expectAllCame(
  members: readonly RoomMember[],
  { source, count }: { source: string; count: number },
  isNew: boolean,
): Promise<void> {
  if (count === 0) return;
  const what = `${source} ${count}`;
  await Promise.all(members.map((member) => member.until(what, () => (member.next.get(source) ?? 0) >= count)));
  expect(members.map(({ next }) => next.get(source))).toEqual(members.map(() => count));
  if (isNew) expect(members.filter(({ first }) => first.get(source) !== 0).map(({ name }) => name)).toEqual([]);
  expect(members.flatMap(({ faults }) => faults)).toEqual([]);
}

/** Of all sources that have ended in order. @param old those that had begun before */
export async function expectAllPublished(
  server: ServerProcess,
  members: readonly RoomMember[],
  old: ReadonlySet<string>,
): Promise<void> {
  for (const { source, count } of server.events('published')) {
    const ended = { source: String(source), count: Number(count) };
    await expectAllCame(members, ended, !old.has(ended.source));
  }
}

/** The sources that the first member has heard of; it has heard of all that are there. */
export async function sourcesOf([first]: readonly RoomMember[], least: number): Promise<Set<string>> {
  await first?.until(`${least} sources`, () => first.next.size >= least);
  return new Set(first?.next.keys());
}

export async function openMembers(server: ServerProcess, { count, tls }: Lasting): Promise<RoomMember[]> {
  const members = await RoomMember.openMany(server.port, { count, tls, rooms: roomsOf });
  await expectSizes(members[0] as RoomMember, { all: count, third: Math.ceil(count / 3) });
  return members;
}

/** The server's publisher runs; no worker publishes. */
export async function last(server: ServerProcess, lasting: Lasting): Promise<RoomMember[]> {
  const { count, reloads, kills } = lasting;
  const members = await openMembers(server, lasting);
  const [first] = members as [RoomMember];
  const old = await sourcesOf(members, 1);
  for (let i = 0; i < Math.max(reloads, kills); i++) {
    if (i < reloads) await reload(server);
    await expectIntact(members);
    if (i < kills) await killWorker(server, i % 2);
    await expectIntact(members);
  }
  await expectSizes(first, { all: count, third: Math.ceil(count / 3) });
  await leaveFour(members);
  first.socket.send('end');
  await server.waitFor('the last publisher', () => server.events('published').length === reloads + 1);
  await expectAllPublished(server, members, old);
  expect(members.filter(({ end }) => end !== undefined)).toEqual([]);
  return members;
}

async function leaveFour(members: RoomMember[]): Promise<void> {
  const left = members.splice(-4);
  for (const { socket } of left) socket.close();
  expect(await Promise.all(left.map(({ closed }) => closed))).toEqual([1005, 1005, 1005, 1005]);
  const third = members.filter((_, i) => i % 3 === 0).length;
  await expectSizes(members[0] as RoomMember, { all: members.length, third });
}
