/** Engines of each kind, and nodes on them that note what their driver tells. */
import { randomUUID } from 'node:crypto';
import { createEngine } from '../../src/cluster/create-driver.js';
import type { ClusterDriver, ClusterEvents, NodeEnd } from '../../src/cluster/driver.js';
import { BrokerDriver } from '../../src/cluster/drivers/broker-driver.js';
import type { Engine, Link } from '../../src/cluster/drivers/engine.js';
import { memoryHub } from '../../src/cluster/drivers/memory.js';
import { type DriverName, type DriverOptions, resolveDriverOptions } from '../../src/options/cluster.js';
import { PACE } from '../helpers/deadline.js';
import { hasNats, startNats } from '../helpers/nats.js';
import { hasRedis, startRedis } from '../helpers/redis.js';

export const HEARTBEAT_MS = Math.round(100 * PACE);
export const TTL_MS = 5 * HEARTBEAT_MS;

/** An engine that can fail. */
export interface TestEngine {
  readonly driver: DriverName;
  readonly url: string;
  kill(): Promise<void>;
  restart(): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  stop(): Promise<void>;
}

export interface EngineKind {
  readonly name: DriverName;
  readonly isHere: boolean;
  start(): Promise<TestEngine>;
}

export const kinds: readonly EngineKind[] = [
  { name: 'memory', isHere: true, start: startMemory },
  { name: 'redis', isHere: hasRedis, start: () => startProcess('redis') },
  { name: 'nats', isHere: hasNats, start: () => startProcess('nats') },
];

/** One engine for all tests that leave it as it is. Each is to have a prefix of its own. */
export class SharedEngine {
  readonly #kind: EngineKind;
  #engine: TestEngine | undefined;
  #isSpoiled = false;

  constructor(kind: EngineKind) {
    this.#kind = kind;
  }

  /** Another one after a test that has let it fail, unless that has started it again. */
  async use(): Promise<TestEngine> {
    if (this.#isSpoiled) await this.stop();
    this.#engine ??= await this.#kind.start();
    const engine = this.#engine;
    const marked = (act: () => Promise<void>, isSpoiled: boolean) => (): Promise<void> => {
      this.#isSpoiled = isSpoiled;
      return act();
    };
    return {
      ...engine,
      kill: marked(engine.kill, true),
      restart: marked(engine.restart, false),
      freeze: marked(engine.freeze, true),
      thaw: marked(engine.thaw, true),
    };
  }

  async stop(): Promise<void> {
    await this.#engine?.stop();
    this.#engine = undefined;
    this.#isSpoiled = false;
  }
}

async function startMemory(): Promise<TestEngine> {
  const url = `memory://${randomUUID()}`;
  const hub = memoryHub(url);
  return {
    driver: 'memory',
    url,
    kill: async () => hub.kill(),
    restart: async () => hub.restart(),
    freeze: async () => hub.freeze(),
    thaw: async () => hub.thaw(),
    stop: async () => hub.kill(),
  };
}

async function startProcess(driver: 'redis' | 'nats'): Promise<TestEngine> {
  const server = await (driver === 'redis' ? startRedis() : startNats());
  return {
    driver,
    url: server.url,
    kill: () => server.kill('SIGKILL'),
    restart: () => server.restart(),
    freeze: () => server.kill('SIGSTOP'),
    thaw: () => server.kill('SIGCONT'),
    stop: () => server.stop(),
  };
}

export interface TestNode {
  readonly id: string;
  readonly driver: ClusterDriver;
  /** `up a`, `left a`, `lost a`, `state up`, `gap s`, `own gap s`, `refused …`, in the order told. */
  readonly told: string[];
  /** What answers requests; by default what was asked, with `> ` before it. */
  answer: ClusterEvents['request'];
  /** Nothing gets out or in any more, as after a cable was pulled; nobody is told. */
  cut(): void;
  heal(): void;
}

/** The nodes of one test. */
export class Nodes {
  readonly #all: TestNode[] = [];

  async start(
    engine: TestEngine,
    id: string,
    options: Partial<DriverOptions> = {},
    incarnation: string = randomUUID(),
  ) {
    const node = this.make(engine, id, options);
    await begin(node, incarnation);
    return node;
  }

  make(engine: TestEngine, id: string, options: Partial<DriverOptions> = {}): TestNode {
    const times = { heartbeatMs: HEARTBEAT_MS, ttlMs: TTL_MS, connectTimeoutMs: Math.round(1000 * PACE) };
    const resolved = resolveDriverOptions(engine.driver, { url: engine.url, ...times, ...options });
    const cable = new Cable(createEngine(engine.driver, resolved));
    const node: TestNode = {
      id,
      driver: new BrokerDriver(cable, resolved),
      told: [],
      answer: async (data) => Buffer.concat([Buffer.from('> '), data]),
      cut: () => (cable.isCut = true),
      heal: () => (cable.isCut = false),
    };
    this.#all.push(node);
    return node;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#all.splice(0).map(({ driver }) => driver.stop(false)));
  }
}

export function begin(node: TestNode, incarnation: string = randomUUID()): Promise<void> {
  return node.driver.start(
    { id: node.id, incarnation, address: `host-of-${node.id}`, version: '1.0.0' },
    {
      nodeUp: ({ id }) => node.told.push(`up ${id}`),
      nodeDown: (id: string, why: NodeEnd) => node.told.push(`${why} ${id}`),
      state: (state) => node.told.push(`state ${state}`),
      gap: (subject, isOwn = false) => node.told.push(`${isOwn ? 'own ' : ''}gap ${subject}`),
      full: ({ id }) => node.told.push(`full ${id}`),
      refused: ({ message }) => node.told.push(`refused ${message}`),
      request: (data, from) => node.answer(data, from),
    },
  );
}

/** An engine behind a cable that can be pulled. */
class Cable implements Engine {
  readonly name: string;
  readonly address: string;
  readonly usual: Engine['usual'];
  isCut = false;
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.name = engine.name;
    this.address = engine.address;
    this.usual = engine.usual;
  }

  async connect(...[events, abort]: Parameters<Engine['connect']>): Promise<Link> {
    const message: typeof events.message = (channel, data) => {
      if (!this.isCut) events.message(channel, data);
    };
    const link = await this.#engine.connect({ ...events, message }, abort);
    const send = link.send.bind(link);
    link.send = (channel, data) => {
      if (!this.isCut) send(channel, data);
    };
    return link;
  }
}

/** What a subscriber was given, as text and as bytes. */
export class Received {
  readonly texts: string[] = [];
  readonly bytes: Buffer[] = [];

  readonly take = (data: Uint8Array, from: string): void => {
    this.bytes.push(Buffer.from(data));
    this.texts.push(`${from}: ${Buffer.from(data).toString()}`);
  };
}
