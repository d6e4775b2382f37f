import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { Arena } from '../../src/shared/arena.js';
import { lockFigures } from '../../src/shared/lock.js';
import { DEADLINE_MS } from '../helpers/deadline.js';

const children: ChildProcess[] = [];
const arenas: Arena[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const { descriptor } of arenas.splice(0)) closeSync(descriptor);
});

function arena(): Arena {
  const made = Arena.create();
  arenas.push(made);
  return made;
}

const build = new URL('../../build/', import.meta.url).href;

/** A process with `lock`, `atomic` and `tell` over the arena. */
function run({ descriptor }: Arena, code: string): ChildProcess {
  const script = `
    const { inheritArena } = await import('${build}shared/objects.js');
    inheritArena(4);
    const { Lock } = await import('${build}shared/lock.js');
    const { Atomic } = await import('${build}shared/atomic.js');
    const lock = new Lock({ name: 'l' });
    const atomic = new Atomic(0, { name: 'a' });
    const told = new Atomic(0, { name: 't' });
    const tell = (message) => process.send(message);
    ${code}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', descriptor],
  });
  children.push(child);
  return child;
}

it('counts exactly under a lock that four processes contend for', { timeout: DEADLINE_MS }, async () => {
  const shared = arena();
  const work = `for (let i = 0; i < 300; i++) {
      const held = await lock.acquire();
      const value = atomic.get();
      await new Promise(setImmediate);
      atomic.set(value + 1);
      held.release();
    }
    tell(atomic.get());
    process.disconnect();`;
  const answers = await Promise.all([1, 2, 3, 4].map(() => once(run(shared, work), 'message')));
  expect(Math.max(...answers.map(([value]) => Number(value)))).toBe(1200);
});

it('goes on from a killed holder to 100 waiters, one at a time', { timeout: DEADLINE_MS }, async () => {
  const shared = arena();
  const holder = run(shared, 'await lock.acquire(); tell("held"); setInterval(() => {}, 1000);');
  await once(holder, 'message');
  const work = `await Promise.all(Array.from({ length: 25 }, async () => {
      const held = await lock.acquire();
      if (atomic.add() !== 1) tell('two at a time');
      if (held.ownerDied) told.add();
      await new Promise(setImmediate);
      atomic.sub();
      held.release();
    }));
    tell(told.get());
    process.disconnect();`;
  const waiters = [1, 2, 3, 4].map(() => run(shared, work));
  const answers = Promise.all(waiters.map((child) => once(child, 'message')));
  const object = () => shared.objects().find(({ kind }) => kind === 'lock');
  await expect.poll(() => lockFigures(object() as never)['waiting'], { timeout: DEADLINE_MS }).toBe(100);
  holder.kill('SIGKILL');
  expect((await answers).map(([told]) => told)).toEqual([1, 1, 1, 1]);
  expect(lockFigures(object() as never)).toMatchObject({ waiting: 0, held: 0, brokenLocks: 1 });
});
