import { emitKeypressEvents } from 'node:readline';
import type { Command } from 'commander';
import type { NamedWorkerInfo, ServerStatus } from '../../control/controlled.js';
import type { MetricFamily } from '../../control/metrics.js';
import type { ServerStats } from '../../control/stats.js';
import { CliError, ExitCode } from '../exit.js';
import { integerBetween } from '../number.js';
import { type Asked, ask } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { bytes, count, duration, isTerminal, latency, paint, print, table } from '../terminal.js';
import { describeEngine } from './nodes.js';
import { stateOf } from './workers.js';

interface Flags extends TargetFlags {
  readonly interval: number;
  readonly count?: number;
}

/** The data of one refresh. */
interface Look {
  readonly at: number;
  readonly status: ServerStatus;
  readonly stats: ServerStats;
  readonly workers: readonly NamedWorkerInfo[];
  /** CPU seconds so far, by process. */
  readonly cpu: ReadonlyMap<string, number>;
  readonly memory: ReadonlyMap<string, number>;
}

const orders = ['id', 'cpu', 'memory', 'packets'] as const;
type Order = (typeof orders)[number];

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

export function addTop(program: Command): void {
  withTarget(program.command('top').alias('monit'))
    .summary('what each process does, live')
    .description(
      'Shows each process with its load, every second. Keys: q quits, s sorts by another column, r reloads. Not on a terminal: prints it once, or --count times.',
    )
    .argument('[server]', 'name or pid')
    .option('--interval <seconds>', 'between two looks', integerBetween(1, 3600), 1)
    .option('-n, --count <number>', 'end after so many', integerBetween(1, 1_000_000))
    .action(async (server: string | undefined, flags: Flags) => {
      await ask(choiceOf(flags, server), (asked) => new Top(asked, flags).run());
    });
}

class Top {
  readonly #asked: Asked;
  readonly #flags: Flags;
  #order: Order = 'id';
  #message = '';
  #last: Look | undefined;
  #shown: readonly [Look, Look] | undefined;
  #quit = (_why?: unknown): void => {};
  /** Set when the screen is restored: later refreshes must not draw. */
  #hasEnded = false;

  constructor(asked: Asked, flags: Flags) {
    this.#asked = asked;
    this.#flags = flags;
  }

  async run(): Promise<void> {
    const isLive = isTerminal && this.#flags.count === undefined;
    if (isLive) return this.#runLive();
    this.#last = await this.#look();
    for (let i = 0; i < (this.#flags.count ?? 1); i++) {
      await new Promise((resolve) => setTimeout(resolve, this.#flags.interval * 1000));
      if (i > 0) print('');
      print((await this.#nextScreen()).join('\n'));
    }
  }

  async #runLive(): Promise<void> {
    const ended = new Promise<'quit' | 'closed'>((resolve, reject) => {
      this.#quit = (why) => (why === undefined ? resolve('quit') : reject(why));
      void this.#asked.client.closed.then(() => resolve('closed'));
    });
    const leave = (): void => void process.stdout.write(LEAVE);
    process.once('exit', leave);
    process.once('SIGTERM', () => this.#quit());
    this.#listenToKeys();
    process.stdout.write(ENTER);
    const redraw = (): void => this.#draw();
    process.stdout.on('resize', redraw);
    this.#last = await this.#look();
    let timer: NodeJS.Timeout | undefined;
    const tickIn = (ms: number): void => {
      timer = setTimeout(() => void tick().catch((error: unknown) => this.#quit(lateOnly(error))), ms);
    };
    const tick = async (): Promise<void> => {
      await this.#nextScreen();
      this.#draw();
      if (!this.#hasEnded) tickIn(this.#flags.interval * 1000);
    };
    tickIn(200);
    const how = await ended.finally(() => {
      this.#hasEnded = true;
      clearTimeout(timer);
      process.stdout.off('resize', redraw);
      process.stdin.setRawMode?.(false);
      process.stdin.pause();
      process.removeListener('exit', leave);
      leave();
    });
    if (how === 'closed') print(`The server with pid ${this.#asked.pid} has ended.`);
  }

  #listenToKeys(): void {
    const { stdin } = process;
    if (!stdin.isTTY) return;
    emitKeypressEvents(stdin);
    stdin.setRawMode(true);
    stdin.on('keypress', (_text: string, key: { name?: string; ctrl?: boolean }) =>
      this.#pressed(key.name ?? '', key.ctrl === true),
    );
    stdin.resume();
  }

  #pressed(key: string, isControl: boolean): void {
    if (key === 'q' || (isControl && key === 'c')) return this.#quit();
    if (key === 's') this.#order = orders[(orders.indexOf(this.#order) + 1) % orders.length] as Order;
    if (key === 'r') void this.#reload();
    this.#draw();
  }

  async #reload(): Promise<void> {
    this.#message = 'reloading …';
    this.#draw();
    try {
      await this.#asked.call('reload', {}, RELOAD_TIMEOUT_MS);
      this.#message = 'reloaded';
    } catch (error) {
      this.#message = (error as Error).message;
    }
    this.#draw();
  }

  async #look(): Promise<Look> {
    const { call } = this.#asked;
    const [status, stats, workers, families] = await Promise.all([
      call<ServerStatus>('status'),
      call<ServerStats>('stats'),
      call<NamedWorkerInfo[]>('workers'),
      call<MetricFamily[]>('metrics'),
    ]);
    const byProcess = (name: string): Map<string, number> => {
      const samples = families.find((family) => family.name === name)?.samples ?? [];
      return new Map(samples.map(({ labels, value }) => [labels['process'] ?? '', Number(value)]));
    };
    const [cpu, memory] = [byProcess('tswoole_process_cpu_seconds_total'), byProcess('tswoole_process_resident_bytes')];
    return { at: performance.now(), status, stats, workers, cpu, memory };
  }

  async #nextScreen(): Promise<string[]> {
    const now = await this.#look();
    this.#shown = [this.#last ?? now, now];
    this.#last = now;
    return screen(...this.#shown, this.#order);
  }

  #draw(): void {
    if (this.#shown === undefined || this.#hasEnded) return;
    const { rows = 24, columns = 80 } = process.stdout;
    const keys = paint('dim', `q quit  s sort (${this.#order})  r reload  ${this.#message}`);
    const all = screen(...this.#shown, this.#order);
    const room = Math.max(1, rows - 2);
    const cut = all.length > room ? [...all.slice(0, room - 1), paint('dim', `… ${all.length - room + 1} more`)] : all;
    const lines = [...cut, keys].map((line) => `${clip(line, columns)}${CLEAR_LINE}`);
    process.stdout.write(`${HOME}${lines.join('\n')}${CLEAR_BELOW}`);
  }
}

const RELOAD_TIMEOUT_MS = 120_000;

/** The end of the server is told otherwise; that it says nothing is a failure. */
function lateOnly(error: unknown): CliError | undefined {
  return error instanceof CliError && error.exitCode === ExitCode.timedOut ? error : undefined;
}

const ESCAPE = '\x1b';

/** Escape sequences (from an escape character to the next `m`) take no columns. */
function clip(line: string, columns: number): string {
  let room = columns;
  const take = (text: string): string => {
    const characters = [...text].slice(0, room);
    room -= characters.length;
    return characters.join('');
  };
  const [plain = '', ...painted] = line.split(ESCAPE);
  return painted.reduce((before, piece) => {
    const end = piece.indexOf('m') + 1;
    return before + ESCAPE + piece.slice(0, end) + take(piece.slice(end));
  }, take(plain));
}

function screen(before: Look, now: Look, order: Order): string[] {
  return [...header(before, now), '', ...processes(before, now, order)];
}

function header(before: Look, { at, status, stats }: Look): string[] {
  const elapsed = Math.max(0.001, (at - before.at) / 1000);
  const rate = (read: (stats: ServerStats) => number): number => (read(stats) - read(before.stats)) / elapsed;
  const { tasks } = stats;
  const lines = [
    `${paint('bold', status.name)}  ${paint(status.state === 'running' ? 'green' : 'yellow', status.state)}  up ${duration(status.uptimeMs)}  ${status.mode} mode  generation ${status.generation}  ${status.listening.join(' ')}`,
    `connections ${stats.connectionNum} (${count(rate((s) => s.acceptCount))}/s new)   ${status.traffic.unit} ${count(rate((s) => s.requestCount))}/s in, ${count(rate((s) => s.responseCount))}/s out   errors ${stats.callbackErrors}${status.traffic.unit === 'requests' ? `   5xx ${count(stats.serverErrorCount)}` : ''}`,
    `traffic ${bytes(rate((s) => s.receivedBytes))}/s in, ${bytes(rate((s) => s.sentBytes))}/s out, ${bytes(stats.bufferedBytes)} waiting   restarts ${stats.workerRestarts}`,
  ];
  if (status.speaksWebSocket) {
    lines.push(
      `sockets ${stats.webSockets}   messages ${count(rate((s) => s.messagesReceived))}/s in, ${count(rate((s) => s.messagesPublished))}/s published, ${count(rate((s) => s.roomDeliveries))}/s delivered, ${count(stats.roomDrops)} dropped   rooms ${stats.rooms}`,
    );
  }
  lines.push(...clusterLine(status, stats, rate));
  if (stats.taskWorkerNum > 0) {
    lines.push(
      `tasks ${count(rate((s) => s.tasks.done))}/s   ${tasks.queued} waiting, ${tasks.running} running, ${tasks.failed} failed, ${tasks.timedOut} timed out`,
    );
  }
  return lines;
}

function clusterLine(
  { cluster }: ServerStatus,
  stats: ServerStats,
  rate: (read: (stats: ServerStats) => number) => number,
): string[] {
  if (cluster === null || cluster === undefined) return []; // undefined: a server of an earlier version
  const published = count(rate((s) => s.cluster?.published ?? 0));
  const delivered = count(rate((s) => s.cluster?.delivered ?? 0));
  const figures = `${published}/s published, ${delivered}/s delivered, ${count(stats.cluster?.lost ?? 0)} lost`;
  const lines = [`cluster ${cluster.nodes.length} nodes   ${figures}   ${describeEngine(cluster)}`];
  const jobs = stats.cluster?.jobs ?? null;
  if (jobs !== null) {
    const done = count(rate((s) => s.cluster?.jobs?.done ?? 0));
    lines.push(`jobs ${done}/s   ${jobs.running} running, ${count(jobs.failed)} failed`);
  }
  return lines;
}

interface Row {
  readonly name: string;
  readonly pid: number;
  readonly cpu: number;
  readonly memory: number;
  readonly worker: NamedWorkerInfo | undefined;
  readonly packetsPerSecond: number;
}

function processes(before: Look, now: Look, order: Order): string[] {
  const elapsed = Math.max(0.001, (now.at - before.at) / 1000);
  const cpuOf = (process: string, isSame: boolean): number =>
    isSame ? Math.max(0, ((now.cpu.get(process) ?? 0) - (before.cpu.get(process) ?? 0)) / elapsed) : 0;
  const { status } = now;
  const upper = [
    { name: 'master', pid: status.masterPid },
    { name: 'manager', pid: status.managerPid },
  ].map(({ name, pid }) => ({
    name,
    pid,
    cpu: cpuOf(name, true),
    memory: now.memory.get(name) ?? 0,
    worker: undefined,
    packetsPerSecond: 0,
  }));
  const rows = now.workers.map((worker): Row => {
    const earlier = before.workers.find(({ id }) => id === worker.id);
    const process = `${worker.role} ${worker.id}`;
    const packetsPerSecond = (worker.requestCount - (earlier?.requestCount ?? worker.requestCount)) / elapsed;
    return {
      name: worker.role === 'user' ? worker.name : process,
      pid: worker.pid,
      cpu: cpuOf(process, earlier?.pid === worker.pid),
      memory: now.memory.get(process) ?? 0,
      worker,
      packetsPerSecond,
    };
  });
  rows.sort(comparers[order]);
  const head = [
    'PROCESS',
    'PID',
    'CPU',
    'MEMORY',
    'STATE',
    'CONN',
    now.status.traffic.unit === 'requests' ? 'REQ/S' : 'PKT/S',
    'P50',
    'P99',
    'MAX',
    'LOOP',
    'RST',
  ];
  return table(head, [...upper, ...rows].map(cells)).split('\n');
}

const comparers: Record<Order, (a: Row, b: Row) => number> = {
  id: (a, b) => (a.worker?.id ?? 0) - (b.worker?.id ?? 0),
  cpu: (a, b) => b.cpu - a.cpu,
  memory: (a, b) => b.memory - a.memory,
  packets: (a, b) => b.packetsPerSecond - a.packetsPerSecond,
};

function cells({ name, pid, cpu, memory, worker, packetsPerSecond }: Row): string[] {
  const share = (value: number): string => `${Math.round(value * 100)}%`;
  const base = [name, String(pid), share(cpu), bytes(memory)];
  if (worker === undefined) return [...base, ...Array.from({ length: 8 }, () => '')];
  return [
    ...base,
    stateOf(worker),
    worker.role === 'worker' ? String(worker.connections) : '',
    worker.role === 'worker' ? count(packetsPerSecond) : '',
    latency(worker.latencyP50),
    latency(worker.latencyP99),
    latency(worker.latencyMax),
    share(worker.loopUtilisation),
    String(worker.restarts),
  ];
}
