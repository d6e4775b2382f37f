/** What a server is and does, as any process may look it up. */
import type { Jobs } from '../cluster/jobs-client/jobs.js';
import { readStats, readWorkers, type ServerStats, type WorkerInfo } from '../control/stats.js';
import type { ResolvedOptions } from '../options/index.js';
import type { ClusterNode } from './cluster-node.js';
import type { Runtime } from './context.js';
import { inherited } from './inherited.js';
import type { ListenPort } from './listen-port.js';
import type { Role } from './start-role.js';

/** What this process knows of the server. */
export interface Facts {
  /** Undefined before the start. */
  readonly runtime: Runtime | undefined;
  readonly options: ResolvedOptions;
  readonly ports: readonly ListenPort[];
  /** @throws ServerError ERR_NO_CLUSTER */
  node(method: string): ClusterNode;
}

export abstract class ServerFacts {
  /** @internal */
  protected abstract get facts(): Facts;
  /** @internal @throws ServerError ERR_NOT_STARTED */
  protected abstract runtimeFor(method: string): Runtime;

  /** The figures of the server, read from shared memory, without a message to a process. Swoole: stats(). */
  stats(): ServerStats {
    const { region, messaging } = this.runtimeFor('stats');
    return readStats(region, messaging.queue.counts(), messaging.messageCount);
  }

  /**
   * The figures of workers, task workers and user processes, by id. Empty before the start. Swoole: getWorkerStatus()
   */
  get workers(): WorkerInfo[] {
    return this.facts.runtime === undefined ? [] : readWorkers(this.facts.runtime.region);
  }

  /** Durable jobs: docs/jobs.md. @throws ServerError ERR_NO_CLUSTER, ERR_NO_JOBS: the option `cluster.jobs` was not given */
  get jobs(): Jobs {
    return this.facts.node('server.jobs').jobs;
  }

  /** The role of this process. Before `start()`, in the process that a person starts: `master`. */
  get role(): Role {
    return inherited()?.role ?? 'master';
  }

  /** The id of a worker, task worker or user process; −1 in the master and the manager. Swoole: $worker_id */
  get workerId(): number {
    const given = inherited();
    if (given === undefined) return this.facts.runtime?.workerId ?? -1;
    return given.role === 'manager' ? -1 : given.id;
  }

  /** Pid of the master; 0 before the start. Swoole: $master_pid */
  get masterPid(): number {
    return this.facts.runtime?.region.masterPid ?? 0;
  }

  /** Pid of the manager; 0 before the start. Swoole: $manager_pid */
  get managerPid(): number {
    return this.facts.runtime?.region.managerPid ?? 0;
  }

  /** The pid of this process where it has a `workerId`, 0 elsewhere. Swoole: $worker_pid */
  get workerPid(): number {
    return this.workerId >= 0 ? process.pid : 0;
  }

  /** `'process'` or `'base'`: see docs/modes.md. Swoole: $mode */
  get mode(): ResolvedOptions['mode'] {
    return this.facts.options.mode;
  }

  /** The main address, as configured. Swoole: $host */
  get host(): string {
    return this.facts.options.host;
  }

  /** The bound port; before the start the configured one. Swoole: $port */
  get port(): number {
    return this.ports[0]?.port ?? this.facts.options.port;
  }

  /** The main address first, then those of `listen()`. Swoole: $ports */
  get ports(): readonly ListenPort[] {
    return this.facts.ports;
  }

  /** Every option with its value, checked and frozen; from the environment and flags too. Swoole: $setting */
  get options(): ResolvedOptions {
    return this.facts.options;
  }
}
