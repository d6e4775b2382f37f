import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { afterEach, expect, it } from 'vitest';
import { Arena } from '../../src/shared/arena.js';
import { topicFigures } from '../../src/shared/topic.js';
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

/** A process with `topic` of 64 KiB, `atomic` and `tell` over the arena. It runs until `end()`. */
function run({ descriptor }: Arena, code: string): ChildProcess {
  const script = `
    const { inheritArena } = await import('${build}shared/objects.js');
    inheritArena(4);
    const { Topic } = await import('${build}shared/topic.js');
    const { Atomic } = await import('${build}shared/atomic.js');
    const topic = new Topic({ name: 't', bytes: 65536 });
    const atomic = new Atomic(0, { name: 'a' });
    const tell = (message) => process.send(message);
    const running = setInterval(() => {}, 1000);
    const end = () => { clearInterval(running); process.disconnect(); };
    ${code}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', descriptor],
  });
  children.push(child);
  return child;
}

async function told<T>(child: ChildProcess): Promise<T> {
  const [message] = await once(child, 'message');
  return message as T;
}

const figures = (shared: Arena): Readonly<Record<string, number>> => {
  const object = shared.objects().find(({ kind }) => kind === 'topic');
  return object === undefined ? {} : topicFigures(object);
};

it('reaches four subscribers from four publishers, all of it, in one order', { timeout: DEADLINE_MS }, async () => {
  const shared = arena();
  const work = `const got = [];
    topic.subscribe((value) => {
      got.push(value);
      if (got.length < 2000) return;
      tell(got);
      end();
    }, { onGap: (gap) => tell(['gap', gap]) });
    atomic.add();
    while (atomic.get() < 4) await atomic.wait(atomic.get());
    for (let n = 0; n < 500; n++) {
      topic.publish(process.pid + ':' + n);
      if (n % 10 === 0) await new Promise(setImmediate);
    }`;
  const running = [1, 2, 3, 4].map(() => run(shared, work));
  const [first = [], ...others] = await Promise.all(running.map((child) => told<string[]>(child)));
  for (const other of others) expect(other).toEqual(first);
  for (const { pid } of running) {
    const own = first.filter((value) => value.startsWith(`${pid}:`));
    expect(own).toEqual(Array.from({ length: 500 }, (_, n) => `${pid}:${n}`));
  }
  expect(figures(shared)).toMatchObject({ published: 2000, gaps: 0 });
});

it('gives whole messages in their order when publishers are killed', { timeout: DEADLINE_MS }, async () => {
  const shared = arena();
  const subscriber = run(
    shared,
    `let [count, wrong] = [0, 0];
    const last = {};
    topic.subscribe((value) => {
      if (value === 'end') return tell({ count, wrong }), end();
      const { pid, n, text } = value;
      if (text !== (n + ';').repeat(n % 500) || n <= (last[pid] ?? -1)) wrong++;
      last[pid] = n;
      count++;
    });
    tell('subscribed');`,
  );
  await told(subscriber);
  const work = `tell('begun');
    for (let n = 0; ; n++) topic.publish({ pid: process.pid, n, text: (n + ';').repeat(n % 500) });`;
  for (let round = 0; round < 5; round++) {
    const publisher = run(shared, work);
    await told(publisher);
    const before = figures(shared)['published'] ?? 0;
    await expect.poll(() => figures(shared)['published'], { timeout: DEADLINE_MS }).toBeGreaterThan(before + 1000);
    publisher.kill('SIGKILL');
    await once(publisher, 'exit');
  }
  const answer = told<{ count: number; wrong: number }>(subscriber);
  run(shared, `topic.publish('end'); end();`);
  const { count, wrong } = await answer;
  expect(wrong).toBe(0);
  expect(count).toBeGreaterThan(100);
});

it('tells a slow subscriber what it has missed, exactly', { timeout: DEADLINE_MS }, async () => {
  const shared = arena();
  const subscriber = run(
    shared,
    `const got = [];
    const gaps = [];
    topic.subscribe((value) => {
      got.push(value);
      if (value === 4999) tell({ got, gaps }), end();
    }, { onGap: (gap) => gaps.push(gap) });
    tell('subscribed');
    while (atomic.get() === 0);`,
  );
  await told(subscriber);
  const answer = told<{ got: number[]; gaps: { missed: number }[] }>(subscriber);
  run(shared, 'for (let n = 0; n < 5000; n++) topic.publish(n); atomic.add(); end();');
  const { got, gaps } = await answer;
  // 32 bytes each.
  expect(gaps).toEqual([{ missed: 5000 - 2048 }]);
  expect(got).toEqual(Array.from({ length: 2048 }, (_, n) => 2952 + n));
  expect(figures(shared)).toMatchObject({ published: 5000, gaps: 1 });
});

it('does not keep a process running that only subscribes', { timeout: DEADLINE_MS }, async () => {
  const child = run(arena(), 'topic.subscribe(() => {}); end();');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

it('ends a process whose callback throws, as any uncaught exception does', { timeout: DEADLINE_MS }, async () => {
  const child = run(
    arena(),
    `process.on('uncaughtException', (error) => { tell(error.message); end(); });
    topic.subscribe(() => { throw new Error('broken'); });
    topic.publish(1);`,
  );
  expect(await told(child)).toBe('broken');
});
