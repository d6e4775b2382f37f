/** An engine in this process: for tests, and for programs whose one node uses what a cluster has. */
import { ServerError } from '../../errors/index.js';
import type { ResolvedDriverOptions } from '../../options/cluster.js';
import { MIB } from '../../options/size.js';
import type { ConfigEntry } from '../driver.js';
import {
  type Channel,
  type Engine,
  type Link,
  type LinkEvents,
  Outstanding,
  OutstandingTurn,
  type PutResult,
} from './engine.js';

const MAX_PAYLOAD = 8 * MIB;

const hubs = new Map<string, MemoryHub>();

/** The engine that all drivers with this URL in this process share. */
export function memoryHub(url: string): MemoryHub {
  const { host } = new URL(url);
  const hub = hubs.get(host) ?? new MemoryHub();
  hubs.set(host, hub);
  return hub;
}

interface Sent {
  readonly link: MemoryLink;
  readonly channel: Channel;
  readonly data: Buffer;
}

/** Passes messages on, in order, one turn later; can be killed, started again and frozen as a real one. */
export class MemoryHub {
  readonly links = new Set<MemoryLink>();
  readonly config = new Map<string, ConfigEntry>();
  #isDown = false;
  #isFrozen = false;
  #queue: Sent[] = [];
  #work: (() => void)[] = [];
  #scheduled = false;

  get isDown(): boolean {
    return this.#isDown;
  }

  /** As kill -9 of a server without persistence. */
  kill(): void {
    this.#isDown = true;
    this.#queue = [];
    this.#work = [];
    this.config.clear();
    for (const link of [...this.links]) link.lose('the engine was killed');
  }

  restart(): void {
    this.#isDown = false;
    this.#isFrozen = false;
  }

  /** As SIGSTOP: connections stay open, nothing answers. */
  freeze(): void {
    this.#isFrozen = true;
  }

  thaw(): void {
    this.#isFrozen = false;
    this.#schedule();
  }

  send(sent: Sent): void {
    this.#queue.push(sent);
    this.#schedule();
  }

  /** Runs when everything sent before has been passed on; never on a dead engine. */
  whenReached(then: () => void): void {
    this.#work.push(then);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#passOn();
    });
  }

  #passOn(): void {
    if (this.#isFrozen || this.#isDown) return;
    const queue = this.#queue;
    const work = this.#work;
    this.#queue = [];
    this.#work = [];
    for (const { link, channel, data } of queue) {
      link.reached(channel, data);
      for (const receiver of this.links) receiver.receive(channel, data);
    }
    for (const link of this.links) link.turnReached();
    for (const then of work) then();
  }
}

class MemoryLink implements Link {
  readonly maxPayload = MAX_PAYLOAD;
  readonly hasConfig = true;
  readonly #hub: MemoryHub;
  readonly #events: LinkEvents;
  readonly #prefix: string;
  readonly #channels = new Set<string>();
  readonly #outstanding = new Outstanding();
  #turn = new OutstandingTurn();
  readonly #ends = new Set<(error: Error) => void>();

  constructor(hub: MemoryHub, prefix: string, events: LinkEvents) {
    this.#hub = hub;
    this.#prefix = prefix;
    this.#events = events;
    hub.links.add(this);
  }

  get bufferedBytes(): number {
    return this.#outstanding.bytes;
  }

  send(channel: Channel, data: Buffer): void {
    this.#outstanding.add(channel, data);
    this.#turn.add(channel, data);
    this.#hub.send({ link: this, channel: this.#named(channel), data });
  }

  /** All that was sent has. */
  turnReached(): void {
    this.#turn = new OutstandingTurn();
  }

  reached(channel: Channel, data: Buffer): void {
    const one = new Outstanding();
    one.add(this.#unnamed(channel), data);
    this.#outstanding.remove(one);
  }

  receive(channel: Channel, data: Buffer): void {
    // A copy each, as from a socket: a subscriber that changes its data changes no other's.
    if (this.#channels.has(channel)) this.#events.message(this.#unnamed(channel), Buffer.from(data));
  }

  subscribe(channels: readonly Channel[]): Promise<void> {
    for (const channel of channels) this.#channels.add(this.#named(channel));
    return this.flush();
  }

  unsubscribe(channel: Channel): void {
    this.#channels.delete(this.#named(channel));
  }

  flush(): Promise<void> {
    return this.#reach(() => {});
  }

  configGet(key: string): Promise<ConfigEntry | undefined> {
    return this.#reach(() => this.#hub.config.get(this.#prefix + key));
  }

  configPut(key: string, value: Uint8Array, ifVersion: number | undefined): Promise<PutResult> {
    return this.#reach(() => {
      const found = this.#hub.config.get(this.#prefix + key)?.version ?? 0;
      if (ifVersion !== undefined && ifVersion !== found) return { written: false, version: found };
      this.#hub.config.set(this.#prefix + key, { value: Buffer.from(value), version: found + 1 });
      return { written: true, version: found + 1 };
    });
  }

  close(): Promise<void> {
    this.#hub.links.delete(this);
    for (const end of this.#ends) end(new Error('the connection is closed'));
    this.#ends.clear();
    const { publications, channels } = this.#turn;
    if (channels.size > 0) this.#events.dropped(publications, channels);
    this.#outstanding.remove(this.#outstanding);
    return Promise.resolve();
  }

  lose(why: string): void {
    void this.close();
    this.#events.closed(why);
  }

  #reach<T>(then: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#ends.add(reject);
      this.#hub.whenReached(() => {
        this.#ends.delete(reject);
        resolve(then());
      });
    });
  }

  /** The prefix goes before the name, so that the kind stays in front. */
  #named(channel: Channel): Channel {
    return channel.replace('/', `/${this.#prefix} `) as Channel;
  }

  #unnamed(channel: Channel): Channel {
    return channel.replace(`/${this.#prefix} `, '/') as Channel;
  }
}

export function memoryEngine(options: ResolvedDriverOptions): Engine {
  const hub = memoryHub(options.url.href);
  const { address } = options;
  return {
    name: 'memory',
    address,
    usual: { maxPayload: MAX_PAYLOAD, config: true },
    async connect(events) {
      const why = 'the engine is down';
      if (hub.isDown) throw new ServerError('ERR_CLUSTER_CONNECT', { engine: 'memory', address, why });
      return new MemoryLink(hub, options.prefix, events);
    },
  };
}
