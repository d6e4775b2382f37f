import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Controlled, NamedWorkerInfo, ServerStatus } from '../../src/control/controlled.js';
import type { MetricFamily } from '../../src/control/metrics.js';
import type { ServerStats } from '../../src/control/stats.js';
import { CliWorld, type Ran, STATS, STATUS, WORKER } from '../helpers/cli-world.js';

let world: CliWorld;
beforeEach(() => {
  world = new CliWorld();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await world.end();
});

const family = (name: string, values: Record<string, number>): MetricFamily =>
  ({
    name,
    samples: Object.entries(values).map(([process, value]) => ({ labels: { process }, value: String(value) })),
  }) as unknown as MetricFamily;

/** A server whose figures grow by so much from look to look. */
function growing(more: Partial<Controlled> = {}): Partial<Controlled> {
  let looks = 0;
  const workers = (n: number): NamedWorkerInfo[] => [
    { ...WORKER, requestCount: 100 * n, latencyP50: 0.001, latencyP99: 0.002 },
    { ...WORKER, id: 1, pid: 78, requestCount: 1000 * n, loopStandsMs: 1001 },
    { ...WORKER, id: 2, pid: 90 + n, requestCount: 10 * n, loopStandsMs: 1000 },
    { ...WORKER, id: 3, pid: 80, role: 'task' },
  ];
  return {
    status: () => STATUS,
    stats: () => {
      looks++;
      const n = looks;
      return {
        ...{ ...STATS, acceptCount: 20 * n, requestCount: 2000 * n, responseCount: 400 * n, callbackErrors: 2 },
        ...{ receivedBytes: 4096 * n, sentBytes: 2048 * n, bufferedBytes: 10, taskWorkerNum: 1, connectionNum: 5 },
        tasks: { ...STATS.tasks, done: 30 * n },
      };
    },
    workers: () => workers(looks),
    metrics: () => [
      family('tswoole_process_cpu_seconds_total', {
        ...{ master: looks, manager: 0.5 * looks, 'worker 0': 0.2 * looks, 'worker 1': 0.4 * looks },
        ...{ 'worker 2': 9 * looks, 'task 3': 0.6 * looks },
      }),
      family('tswoole_process_resident_bytes', {
        ...{ master: 2048, manager: 1024, 'worker 0': 4096, 'worker 1': 1024, 'worker 2': 3072, 'task 3': 512 },
      }),
    ],
    ...more,
  };
}

/** A wait between two looks takes no time; the clock says that it did. */
function skipIntervals(): number[] {
  const later = globalThis.setTimeout;
  const waits: number[] = [];
  let now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  vi.spyOn(globalThis, 'setTimeout').mockImplementation(((then: () => void, ms: number) => {
    if (ms !== 1000 && ms !== 2000) return later(then, ms);
    waits.push(ms);
    now += ms;
    return later(then, 0);
  }) as typeof setTimeout);
  return waits;
}

/** Rows by process, each a list of its cells. */
function rowsOf(screen: string): string[][] {
  return screen.split('\n').map((line) => line.trim().split(/ {2,}| (?=\d+(?:ms|%|$))/));
}

describe('tswoole top, not on a terminal', () => {
  it('prints once what each process does, with rates between two looks', async () => {
    await world.serve(growing());
    const waits = skipIntervals();
    const { out, failure } = await world.run('top', '--interval', '2');
    expect(failure).toBeUndefined();
    expect(waits).toEqual([2000]);
    const lines = out.split('\n');
    expect(lines.slice(0, 6)).toEqual([
      'web  running  up 1m 5s  process mode  generation 2  127.0.0.1:80',
      'connections 5 (10/s new)   packets 1000/s in, 200/s out   errors 2',
      'traffic 2.0 KiB/s in, 1.0 KiB/s out, 10 B waiting   restarts 1',
      'tasks 15/s   1 waiting, 2 running, 4 failed, 5 timed out',
      '',
      expect.stringMatching(/^PROCESS +PID +CPU +MEMORY +STATE +CONN +PKT\/S +P50 +P99 +MAX +LOOP +RST$/),
    ]);
    expect(rowsOf(out).slice(6)).toEqual([
      ['master', '1234', '50%', '2.0 KiB'],
      ['manager', '1235', '25%', '1.0 KiB'],
      ['worker 0', '77', '10%', '4.0 KiB', 'idle', '3', '50', '1.0ms', '2.0ms', '4.0ms', '26%', '0'],
      ['worker 1', '78', '20%', '1.0 KiB', 'hangs 1s', '3', '500', '1.0ms', '2.0ms', '4.0ms', '26%', '0'],
      ['worker 2', '92', '0%', '3.0 KiB', 'idle', '3', '5', '1.0ms', '2.0ms', '4.0ms', '26%', '0'], // another process than before
      ['task 3', '80', '30%', '512 B', 'idle', '1.0ms', '2.0ms', '4.0ms', '26%', '0'],
      [''],
    ]);
  });

  it('prints as often as it is told, each after an interval of one second', async () => {
    await world.serve(growing());
    const waits = skipIntervals();
    const { out } = await world.run('monit', '-n', '2');
    expect(waits).toEqual([1000, 1000]);
    expect(out.match(/^PROCESS/gm)).toHaveLength(2);
    expect(out.split('\n\nweb  ')).toHaveLength(2); // an empty line in between, and none before
    expect(out).toMatch(/^web/);
  });

  it('has no line of tasks where there are no task workers, and counts requests of HTTP', async () => {
    const traffic = { ...STATUS.traffic, unit: 'requests' as const };
    await world.serve(growing({ stats: () => STATS, status: () => ({ ...STATUS, traffic }) }));
    skipIntervals();
    const { out } = await world.run('top');
    expect(out).not.toMatch(/^tasks/m);
    expect(out).toMatch(/ requests 0\/s in, /);
    expect(out).toContain(' REQ/S ');
  });

  it('has a line of the cluster: nodes, figures, and how the engine is', async () => {
    const engine = { driver: 'redis', engine: 'host:1', state: 'reconnecting', why: 'cut' };
    const cluster = { ...engine, nodes: [{}, {}] } as unknown as ServerStatus['cluster'];
    let looks = 0;
    const jobs = () => ({ running: 2, done: 6 * looks, failed: 1 });
    const figures = () => ({ published: 10 * ++looks, delivered: 4 * looks, lost: 3, reconnects: 0, jobs: jobs() });
    const stats = () => ({ ...STATS, cluster: figures() as unknown as ServerStats['cluster'] });
    await world.serve(growing({ stats, status: () => ({ ...STATUS, cluster }) }));
    skipIntervals();
    const { out } = await world.run('top', '--interval', '2');
    const state = 'redis host:1 reconnecting: nodes as last known; cut';
    expect(out.split('\n')).toContain(`cluster 2 nodes   5/s published, 2/s delivered, 3 lost   ${state}`);
    expect(out.split('\n')).toContain('jobs 3/s   2 running, 1 failed');
  });

  it('does without figures that the server does not have', async () => {
    await world.serve(growing({ metrics: () => [] }));
    skipIntervals();
    expect(rowsOf((await world.run('top')).out)).toContainEqual(['master', '1234', '0%', '0 B']);
  });

  it.each([
    ['--interval', '0'],
    ['--interval', '3601'],
    ['-n', '0'],
    ['-n', '1000001'],
  ])('takes no %s %s', async (flag, value) => {
    expect((await world.run('top', flag, value)).failure).toMatchObject({ code: 'commander.invalidArgument' });
  });
});

describe('tswoole top, on a terminal', () => {
  const real = Object.getOwnPropertyDescriptor(process, 'stdin') as PropertyDescriptor;
  const wasTerminal = process.stdout.isTTY;
  const size = { rows: process.stdout.rows, columns: process.stdout.columns };
  let keyboard: PassThrough & { isTTY?: boolean; setRawMode?(raw: boolean): void };
  let rawModes: boolean[];
  let drawn: string[];

  beforeEach(() => {
    rawModes = [];
    keyboard = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (raw: boolean) => void rawModes.push(raw) });
    Object.defineProperty(process, 'stdin', { configurable: true, value: keyboard });
    Object.assign(process.stdout, { isTTY: true, rows: 24, columns: 120 });
    vi.stubEnv('NO_COLOR', '1');
    vi.resetModules();
  });
  afterEach(() => {
    Object.defineProperty(process, 'stdin', real);
    Object.assign(process.stdout, { isTTY: wasTerminal, ...size });
    vi.unstubAllEnvs();
  });

  /** Runs it, and takes a step as each screen comes, the last one again and again: it has to end it. */
  async function watch(...steps: ((screen: string) => void)[]): Promise<Omit<Ran, 'err' | 'exitCode'>> {
    const { createProgram } = await import('../../src/cli/program.js');
    drawn = [];
    let taken = 0;
    const step = (screen: string): void => (steps[taken++] ?? steps.at(-1))?.(screen);
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((piece) => {
      drawn.push(String(piece));
      if (String(piece).startsWith(HOME)) setImmediate(step, stripVTControlCharacters(String(piece)));
      return true;
    });
    const later = globalThis.setTimeout;
    const first = ((then: () => void, ms: number) => later(then, ms === 200 ? 0 : ms)) as typeof setTimeout;
    const timeout = vi.spyOn(globalThis, 'setTimeout').mockImplementation(first);
    let failure: unknown;
    const words = ['top', '--run-dir', world.runDir, '--interval', '3600'];
    await createProgram()
      .parseAsync(words, { from: 'user' })
      .catch((error: unknown) => {
        failure = error;
      });
    write.mockRestore();
    timeout.mockRestore();
    expect(taken).toBeGreaterThanOrEqual(steps.length);
    return { out: drawn.join(''), failure };
  }

  const HOME = '\x1b[H';
  const press = (key: string) => (): void => void keyboard.write(key);
  /** Names of the workers, from top to bottom. */
  const order = (screen: string): string[] => [...screen.matchAll(/^(?:worker|task) \d/gm)].map(([name]) => name);

  it('draws over its own screen until q, and leaves the terminal as it was', async () => {
    await world.serve(growing());
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const { out, failure } = await watch(press('q'));
    expect(failure).toBeUndefined();
    expect(drawn[0]).toBe('\x1b[?1049h\x1b[?25l');
    expect(drawn.at(-1)).toBe('\x1b[?25h\x1b[?1049l');
    expect(out).toContain('\x1b[H');
    expect(rawModes).toEqual([true, false]);
    expect(keyboard.isPaused()).toBe(true);
    expect(timers()).toBeLessThanOrEqual(before); // it would keep the command from ending
    expect(process.stdout.listenerCount('resize')).toBe(0);
  });

  it('is quit by Ctrl+C too, and not by a plain c', async () => {
    await world.serve(growing());
    const seen: string[] = [];
    await watch(press('c'), (screen) => {
      seen.push(screen);
      keyboard.write('\x03');
    });
    expect(seen).toHaveLength(1);
  });

  it('sorts by the next column at each s', async () => {
    await world.serve(growing());
    const orders: string[][] = [];
    const note = (screen: string): void => {
      orders.push(order(screen));
      keyboard.write(orders.length === 5 ? 'q' : 's');
    };
    const { out } = await watch(note);
    const byId = ['worker 0', 'worker 1', 'worker 2', 'task 3'];
    expect(orders).toEqual([
      byId,
      ['task 3', 'worker 1', 'worker 0', 'worker 2'],
      ['worker 0', 'worker 2', 'worker 1', 'task 3'],
      ['worker 1', 'worker 0', 'worker 2', 'task 3'],
      byId,
    ]);
    for (const name of ['id', 'cpu', 'memory', 'packets']) expect(out).toContain(`s sort (${name})`);
  });

  it('reloads at r, and says how that went', async () => {
    await world.serve(growing());
    const said: string[] = [];
    const note = (screen: string): void => {
      said.push(/r reload {2}(.*)$/m.exec(screen)?.[1] ?? 'nothing');
      if (said.length === 1) keyboard.write('r');
      if (said.at(-1) === 'reloaded') keyboard.write('q');
    };
    await watch(note);
    expect(said.slice(0, 2)).toEqual(['', 'reloading …']);
    expect(world.calls).toEqual([['reload', false]]);
  });

  it('says why a reload failed', async () => {
    await world.serve(growing({ reload: () => Promise.reject(new Error('no such script')) }));
    const note = (screen: string): void => {
      if (screen.includes('no such script')) keyboard.write('q');
    };
    await watch(press('r'), note);
    expect(drawn.some((text) => text.includes('no such script'))).toBe(true);
  });

  it('draws again when the size has changed, cut to it', async () => {
    await world.serve(growing());
    const screens: string[] = [];
    await watch(
      () => {
        Object.assign(process.stdout, { rows: 10, columns: 20 });
        process.stdout.emit('resize');
      },
      (screen) => {
        screens.push(screen);
        keyboard.write('q');
      },
    );
    const lines = screens[0]?.split('\n') ?? [];
    expect(lines).toHaveLength(9); // the terminal has ten, and the cursor takes one
    expect(lines[0]).toBe('web  running  up 1m ');
    expect(Math.max(...lines.map((line) => line.length))).toBe(20);
    expect(lines[7]).toBe('… 5 more');
    expect(lines[8]).toBe('q quit  s sort (id) ');
  });

  it('says how much there is where there is room for a line', async () => {
    await world.serve(growing());
    Object.assign(process.stdout, { rows: 2 });
    const screens: string[] = [];
    await watch((screen) => {
      screens.push(screen);
      keyboard.write('q');
    });
    expect(screens[0]?.split('\n')).toEqual(['… 12 more', expect.stringMatching(/^q quit/)]);
  });

  it('says that the server has ended, and ends', async () => {
    await world.serve(growing());
    const { out, failure } = await watch(() => void world.hangUp());
    expect(failure).toBeUndefined();
    expect(out).toMatch(new RegExp(`l\\n?The server with pid ${process.pid} has ended\\.\\n$`));
  });

  it('is quit by SIGTERM', async () => {
    await world.serve(growing());
    const { failure } = await watch(() => void process.emit('SIGTERM'));
    expect(failure).toBeUndefined();
  });

  it('prints as in a pipe when it is told how often', async () => {
    await world.serve(growing());
    skipIntervals();
    const { createProgram } = await import('../../src/cli/program.js');
    const pieces: string[] = [];
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((piece) => pieces.push(String(piece)) > 0);
    await createProgram().parseAsync(['top', '-n', '1', '--run-dir', world.runDir], { from: 'user' });
    write.mockRestore();
    expect(pieces).toHaveLength(1);
    expect(pieces[0]).not.toContain('\x1b[');
  });

  it.each([
    ['running', 32],
    ['starting', 33],
    ['degraded', 33],
  ] as const)('shows by its colour that a server is %s, and that a loop hangs', async (state, code) => {
    vi.stubEnv('NO_COLOR', '');
    vi.stubEnv('TERM', 'xterm');
    vi.resetModules();
    await world.serve(growing({ status: () => ({ ...STATUS, state }) }));
    await watch(press('q'));
    const screen = drawn.find((text) => text.startsWith(HOME)) ?? '';
    expect(screen).toContain(`  \x1b[${code}m${state}\x1b[39m  up `);
    expect(screen).toContain('\x1b[31mhangs 1s\x1b[39m');
    expect(screen).toContain('\x1b[2mq quit');
  });

  it('is coloured unless that is not wanted, and is cut by what one sees', async () => {
    vi.stubEnv('NO_COLOR', '');
    vi.stubEnv('TERM', 'xterm');
    vi.resetModules();
    await world.serve(growing({ status: () => ({ ...STATUS, state: 'degraded' }) }));
    Object.assign(process.stdout, { columns: 10 });
    const screens: string[] = [];
    await watch((screen) => {
      screens.push(screen);
      keyboard.write('q');
    });
    expect(drawn.some((text) => text.includes('\x1b[1mweb\x1b[22m'))).toBe(true);
    expect(screens[0]?.split('\n')[0]).toBe('web  degra');
  });
});
