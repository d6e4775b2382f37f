/** What the machine did during a load: whether it, and not the server, was too slow. */
import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { cpuSeconds } from '../helpers/proc.js';
import type { ServerProcess } from '../helpers/server-process.js';

export interface LoadFigures {
  /** Share of all cores that was busy, whoever used them. */
  readonly cpuShare: number;
  /** Of one minute, at the end. */
  readonly loadAverage: number;
  /** The longest turn of the process with the clients. */
  readonly clientLagMs: number;
  /** Slowest message of each second, by its receipt. */
  readonly slowestMs: readonly number[];
  /** Share of a core from the first message to the kill of the engine, by kind of process: all nodes, without their later starts. */
  readonly cores: Readonly<Record<string, number>>;
  /** Bytes in the sockets of the clients, at the moments named. */
  readonly queued: Readonly<Record<string, TcpQueues>>;
}

/** Of the ports of the servers. */
interface TcpQueues {
  /** Sent by clients, not read by a server. */
  readonly toServers: number;
  /** Sent by servers, not read by a client. */
  readonly toClients: number;
}

interface Times {
  readonly idle: number;
  readonly all: number;
}

export class LoadWatch {
  readonly #before = times();
  readonly #begin = performance.now();
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: 10 });
  readonly #slowest: number[] = [];
  readonly #queued: Record<string, TcpQueues> = {};
  readonly #cores: Record<string, number> = {};

  constructor() {
    this.#delay.enable();
  }

  received(latencyMs: number): void {
    const second = Math.floor((performance.now() - this.#begin) / 1000);
    while (this.#slowest.length <= second) this.#slowest.push(0);
    this.#slowest[second] = Math.max(this.#slowest[second]!, Math.round(latencyMs));
  }

  /** Between this call and the one of what it returns. */
  cpuOf(servers: readonly ServerProcess[]): () => void {
    const begin = performance.now();
    const processes = servers.flatMap((server) => server.tree());
    const each = processes.map(({ pid, title }) => ({ pid, kind: kindOf(title), before: cpuSeconds(pid) }));
    each.push({ pid: process.pid, kind: 'clients and test', before: cpuSeconds(process.pid) });
    return () => {
      const seconds = (performance.now() - begin) / 1000;
      for (const { pid, kind, before } of each) {
        const more = Math.max(0, cpuSeconds(pid) - before) / seconds;
        this.#cores[kind] = Math.round(((this.#cores[kind] ?? 0) + more) * 1000) / 1000;
      }
    };
  }

  look(moment: string, ports: readonly number[]): void {
    this.#queued[moment] = tcpQueues(new Set(ports));
  }

  result(): LoadFigures {
    const now = times();
    const idle = (now.idle - this.#before.idle) / Math.max(1, now.all - this.#before.all);
    this.#delay.disable();
    return {
      cpuShare: Math.round((1 - idle) * 100) / 100,
      loadAverage: Math.round(loadavg()[0]! * 10) / 10,
      clientLagMs: Math.round(this.#delay.max / 1e6),
      slowestMs: this.#slowest,
      cores: this.#cores,
      queued: this.#queued,
    };
  }
}

/** `tswoole: worker 1` → `worker`. */
const kindOf = (title: string): string => title.replace(/^.*: /, '').replace(/ \d+$/, '');

function times(): Times {
  const all = cpus().map(({ times: of }) => of);
  return {
    idle: all.reduce((sum, { idle }) => sum + idle, 0),
    all: all.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0),
  };
}

/** Each line: number, local address:port, remote, state, tx:rx, … in hexadecimal digits. */
function tcpQueues(ports: ReadonlySet<number>): TcpQueues {
  let [toServers, toClients] = [0, 0];
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)) {
    const [, local = '', remote = '', , queues = ''] = line.trim().split(/\s+/);
    const [sent = 0, unread = 0] = queues.split(':').map((digits) => Number.parseInt(digits, 16));
    if (ports.has(portOf(local))) [toServers, toClients] = [toServers + unread, toClients + sent];
    else if (ports.has(portOf(remote))) [toServers, toClients] = [toServers + sent, toClients + unread];
  }
  return { toServers, toClients };
}

const portOf = (address: string): number => Number.parseInt(address.split(':')[1] ?? '', 16);
