import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { ControlChannel } from '../../src/ipc/control-channel.js';
import {
  type FirstPlan,
  type FirstProcess,
  leaveFirst,
  type PlannedFirst,
  takeFirst,
} from '../../src/ipc/first-processes.js';
import { decodeWorkerToManager } from '../../src/ipc/message.js';
import { adoptFirst, whenEnded } from '../../src/ipc/spawn-role.js';
import { startFirst } from '../../src/ipc/start-first.js';
import { FirstProcesses, type RefusedFirst } from '../../src/manager/first-processes.js';

let started: FirstProcess[] = [];

afterEach(() => {
  for (const { process } of started) process.kill('SIGKILL');
  started = [];
  takeFirst();
});

const roleOf = (id: number): PlannedFirst => ({ role: 'worker', id, lane: 0, generation: 0 });

/** Processes that run `code` and have a control channel, and standard error that their parent reads. */
function start(code: string, ids: readonly number[] = [0]): FirstProcess[] {
  const plan: FirstPlan = {
    ...{ master: process.ppid, args: ['-e', code], env: { ONE: '1' }, inheritance: {} },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    processes: ids.map((id) => ({ title: `--title=first ${id}`, role: roleOf(id) })),
  };
  const those = startFirst(plan);
  started.push(...those);
  return those;
}

const SAY = "const say = (message) => require('fs').writeSync(3, JSON.stringify(message) + '\\n');";
const STAY = "require('net').Socket({ fd: 3 }).on('end', () => process.exit()).resume();";

async function only(code: string): Promise<FirstProcess> {
  const [first] = start(code);
  if (first === undefined) throw new Error('it was not started');
  return first;
}

/** What the manager hears of a process it has taken over. */
function adopt(first: FirstProcess) {
  const child = adoptFirst(first);
  const channel = new ControlChannel(child.control, decodeWorkerToManager);
  const heard: unknown[] = [];
  const message = new Promise<unknown>((resolve) => {
    const take = (said: unknown): void => {
      heard.push(said);
      resolve(said);
    };
    channel.listen({ message: take, end: () => {} });
  });
  const end = new Promise<unknown[]>((resolve) => whenEnded(child, (...told) => resolve(told)));
  return { heard, message, end };
}

describe('a process that was started before the script ran in the manager', () => {
  it('and has become ready meanwhile is heard when it is taken over', async () => {
    const first = await only(`${SAY} say({ type: 'ready' }); ${STAY}`);
    const control = first.process.stdio[3];
    if (!control) throw new Error('it has no channel');
    await once(control, 'readable');
    const { message, end } = adopt(first);
    expect(await message).toEqual({ type: 'ready' });
    first.process.kill('SIGTERM');
    expect(await end).toEqual([0, 15, '']);
  });

  it('and has ended meanwhile is told with all it has said', async () => {
    const first = await only(`${SAY} say({ type: 'ready' }); console.error('no disk'); process.exit(3);`);
    await once(first.process, 'exit');
    await new Promise(setImmediate); // Node reads what it has left
    const { heard, end } = adopt(first);
    expect(await end).toEqual([3, 0, 'no disk']);
    expect(heard).toEqual([{ type: 'ready' }]);
  });

  it('and was killed meanwhile is told with the signal', async () => {
    const first = await only(STAY);
    first.process.kill('SIGKILL');
    await once(first.process, 'exit');
    expect(await adopt(first).end).toEqual([0, 9, '']);
  });

  it('does not keep the process that has started it', async () => {
    const first = await only(STAY);
    expect(process.getActiveResourcesInfo()).not.toContain('ProcessWrap');
    adopt(first);
    expect(process.getActiveResourcesInfo()).toContain('ProcessWrap');
  });
});

describe('the manager', () => {
  it('finds them once', async () => {
    const those = start(STAY, [0, 1]);
    leaveFirst(those);
    expect(takeFirst()).toEqual(those);
    expect(takeFirst()).toEqual([]);
  });

  it('takes over each once, for the seat and the lane it was started for', async () => {
    const [first] = start(STAY);
    const processes = new FirstProcesses(first === undefined ? [] : [first]);
    expect(processes.take({ ...roleOf(0), lane: 1 })).toBeUndefined();
    expect(processes.take({ ...roleOf(0), generation: 1 })).toBeUndefined();
    expect(processes.take(roleOf(1))).toBeUndefined();
    expect(processes.take(roleOf(0))).toBe(first);
    expect(processes.take(roleOf(0))).toBeUndefined();
  });

  it('ends those that it would start otherwise, says why without values, and keeps the others', async () => {
    const those = start(STAY, [0, 1, 2, 3, 4, 5]);
    const commands = those.map(({ command }) => command);
    const now = [
      ...[commands[0], undefined, { ...commands[2], env: { ...commands[2]?.env, ONE: 'secret', TWO: '2' } }],
      ...[
        { ...commands[3], args: ['-e', ''] },
        { ...commands[4], stdio: ['pipe'] },
        { ...commands[5], cwd: '/' },
      ],
    ];
    const refused = new Map<number, readonly string[]>();
    const gone: RefusedFirst[] = [];
    const processes = new FirstProcesses(those);
    await processes.keepFitting({
      commandOf: ({ id }) => now[id] as FirstProcess['command'] | undefined,
      refused: ({ id }, why) => refused.set(id, why),
      gone: (told) => gone.push(told),
    });
    expect([...refused]).toEqual([
      [1, ['it is not wanted']],
      [2, ['the environment variable ONE', 'the environment variable TWO']],
      [3, ['its arguments']],
      [4, ['its descriptors']],
      [5, ['its working directory']],
    ]);
    expect(gone.map(({ role, signal }) => [role.id, signal]).sort()).toEqual(
      [1, 2, 3, 4, 5].map((id) => [id, 'SIGKILL']),
    );
    expect(those.map(({ process }) => process.signalCode)).toEqual([null, ...Array(5).fill('SIGKILL')]);
    expect([0, 1, 2, 3, 4, 5].map((id) => processes.take(roleOf(id)))).toEqual([those[0], ...Array(5)]);
  });

  it('tells of one that does not fit and has ended already how it has ended', async () => {
    const first = await only('process.exit(3)');
    await once(first.process, 'exit');
    const gone: RefusedFirst[] = [];
    const processes = new FirstProcesses([first]);
    await processes.keepFitting({ commandOf: () => undefined, refused: () => {}, gone: (told) => gone.push(told) });
    expect(gone).toEqual([{ role: roleOf(0), pid: first.process.pid, exitCode: 3, signal: null }]);
  });

  it('ends those that it has not taken over when it ends itself', async () => {
    const [taken, left] = start(STAY, [0, 1]) as [FirstProcess, FirstProcess];
    const processes = new FirstProcesses([taken, left]);
    processes.take(roleOf(0));
    processes.kill();
    await once(left.process, 'exit');
    expect([taken.process.killed, left.process.signalCode]).toEqual([false, 'SIGKILL']);
    expect(processes.take(roleOf(1))).toBeUndefined();
  });

  it('starts none that cannot be started: that is left to the manager', () => {
    const plan = {
      master: 0,
      args: [],
      stdio: [1 << 20],
      env: {},
      inheritance: {},
      processes: [{ title: '', role: roleOf(0) }],
    };
    expect(startFirst(plan as unknown as FirstPlan)).toEqual([]);
  });
});
