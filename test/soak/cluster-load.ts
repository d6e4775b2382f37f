/**
 * Three nodes under room messages, while one of them is killed and started again, and then the engine: what the short form and
 * the long one have in common.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { PACE } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { LightWebSocket } from '../helpers/light-web-socket.js';
import { type Line, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { type LoadFigures, LoadWatch } from './load-figures.js';

export interface LoadParts {
  readonly connections: number;
  /** Of all nodes together. */
  readonly messagesPerSecond: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly published: number;
  /** Members that each message was for, summed up. */
  readonly owed: number;
  readonly delivered: number;
  /** Members on the node that was killed, and what that node's clients published. */
  readonly lostWithNode: number;
  /** In the outage that `clusterGap` has told. */
  readonly lostInOutage: number;
  /** From the kill of the engine until both nodes have told the gap. */
  readonly outageMs: number;
  readonly gaps: number;
  /** By node: how often it has lost its engine. Once is the kill. */
  readonly enginesLost: readonly number[];
  readonly slowestMs: number;
  readonly figures: LoadFigures;
  /** What must not be. */
  readonly faults: readonly string[];
}

const NODES = ['a', 'b', 'c'] as const;
const KILLED = 2;
const PER_ROOM = 10;
/** What was under way to the engine when it, or the node, was killed. */
const UNDER_WAY_MS = 500 * PACE;
const TURN_MS = 10;
const MOST_FAULTS = 20;

/** One that publishes: a client of one start of a node. Numbers count by room. */
interface Source {
  readonly name: string;
  readonly node: number;
  readonly client: LightWebSocket;
  /** When each was sent, by room. */
  readonly sentAt: number[][];
}

interface Tally {
  /** By node: the last gap of each room. */
  readonly told: readonly ReadonlyMap<string, number>[];
  lostWithNode: number;
  lostInOutage: number;
  readonly faults: string[];
}

interface Missed {
  readonly source: string;
  readonly from: number;
  readonly to: number;
}

class Member {
  readonly node: number;
  readonly room: number;
  /** It joined while messages flowed: what came before its first of a source is none of its. */
  readonly isLate: boolean;
  readonly next = new Map<string, number>();
  readonly missed: Missed[] = [];
  readonly faults: string[] = [];
  /** By source: the first that counts. */
  readonly first = new Map<string, number>();
  delivered = 0;

  constructor(node: number, room: number, isLate: boolean) {
    [this.node, this.room, this.isLate] = [node, room, isLate];
  }

  take(source: string, number: number): void {
    this.delivered++;
    const expected = this.next.get(source) ?? (this.isLate ? number : 0);
    if (!this.first.has(source)) this.first.set(source, expected);
    if (number < expected) this.faults.push(`${number} of ${source} after ${expected - 1}`);
    if (number > expected) this.missed.push({ source, from: expected, to: number });
    this.next.set(source, Math.max(expected, number + 1));
  }
}

/** Ends all it has started but the engine and the servers. */
export async function loadCluster(engine: EngineProcess, parts: LoadParts): Promise<LoadResult> {
  const load = new ClusterLoad(engine, parts);
  try {
    return await load.run();
  } finally {
    load.end();
  }
}

class ClusterLoad {
  readonly #engine: EngineProcess;
  readonly #parts: LoadParts;
  readonly #rooms: number;
  readonly #members: Member[] = [];
  readonly #sockets: LightWebSocket[] = [];
  readonly #sources: Source[] = [];
  readonly #sourceOf = new Map<string, Source>();
  readonly #watch = new LoadWatch();
  readonly #servers: ServerProcess[] = [];
  #publishing: NodeJS.Timeout | undefined;
  #turns = 0;
  #published = 0;
  #slowestMs = 0;

  constructor(engine: EngineProcess, parts: LoadParts) {
    this.#engine = engine;
    this.#parts = parts;
    this.#rooms = Math.floor(parts.connections / PER_ROOM);
  }

  async run(): Promise<LoadResult> {
    const { seconds, connections } = this.#parts;
    this.#servers.push(...(await Promise.all(NODES.map((_, node) => this.#launch(node)))));
    await this.#allKnow();
    await this.#join(connections, (index) => index % NODES.length, false);
    for (const node of NODES.keys()) await this.#addSource(node);
    await this.#arrives();
    const begin = performance.now();
    const until = (share: number): Promise<void> => sleep(begin + share * seconds * 1000 - performance.now());
    const cpuIsMeasured = this.#watch.cpuOf(this.#servers);
    this.#publishing = setInterval(() => this.#turn(begin), TURN_MS);
    await until(0.15);
    const killedAt = await this.#killNode();
    await until(0.25);
    await this.#restartNode();
    await until(0.6);
    cpuIsMeasured();
    this.#look('at the kill of the engine');
    const outage = { from: performance.now(), to: 0 };
    await this.#engine.kill('SIGKILL');
    await until(0.65);
    await this.#engine.restart();
    outage.to = await this.#gapsTold(outage.from);
    await until(1);
    clearInterval(this.#publishing);
    await this.#settled();
    return this.#result(killedAt, outage);
  }

  end(): void {
    clearInterval(this.#publishing);
    for (const socket of this.#sockets) socket.end();
  }

  async #launch(node: number): Promise<ServerProcess> {
    const { url } = this.#engine;
    const cluster = { driver: new URL(url).protocol.slice(0, -1), url, nodeId: NODES[node], ttlMs: 3000 };
    return startServer('cluster-rooms.js', {
      env: { CLUSTER: JSON.stringify(cluster) },
      options: { maxConnections: this.#parts.connections + 100 },
    });
  }

  /** Each has told of the two others. */
  async #allKnow(): Promise<void> {
    for (const server of this.#servers) {
      await server.waitFor('two other nodes', () => server.events('nodeUp').length >= NODES.length - 1);
    }
  }

  async #join(count: number, nodeOf: (index: number) => number, isLate: boolean): Promise<void> {
    const sockets = await LightWebSocket.openMany(count, (index) => {
      const node = nodeOf(index);
      // Consecutive ones share a room, and are on different nodes.
      const place = isLate ? index * NODES.length + node : index;
      const member = new Member(node, Math.floor(place / PER_ROOM) % this.#rooms, isLate);
      this.#members.push(member);
      const { port } = this.#servers[node]!;
      return LightWebSocket.open(port, `/?room=r${member.room}`, (text) => this.#take(member, text));
    });
    this.#sockets.push(...sockets);
  }

  #take(member: Member, text: string): void {
    const [, source = '', number] = text.split(' ');
    if (source === 'hello') return;
    member.take(source, Number(number));
    const sentAt = this.#sourceOf.get(source)?.sentAt[member.room]?.[Number(number)];
    if (sentAt === undefined) return;
    const latencyMs = performance.now() - sentAt;
    this.#slowestMs = Math.max(this.#slowestMs, latencyMs);
    this.#watch.received(latencyMs);
  }

  async #addSource(node: number): Promise<void> {
    const client = await LightWebSocket.open(this.#servers[node]!.port, '/', () => {});
    this.#sockets.push(client);
    const name = `${NODES[node]}${this.#sources.length}`;
    const source = { name, node, client, sentAt: Array.from({ length: this.#rooms }, () => []) };
    this.#sources.push(source);
    this.#sourceOf.set(name, source);
  }

  /** Every node follows every room: no message counts before. */
  async #arrives(): Promise<void> {
    await sleep(2000 * PACE);
  }

  #turn(begin: number): void {
    const due = ((performance.now() - begin) / 1000) * this.#parts.messagesPerSecond;
    const living = this.#sources.filter(({ client }) => !client.isEnded);
    for (; this.#turns < due; this.#turns++) {
      const source = living[this.#turns % living.length]!;
      const room = Math.floor(this.#turns / living.length) % this.#rooms;
      const times = source.sentAt[room]!;
      source.client.send(`r${room} ${source.name} ${times.length}`);
      times.push(performance.now());
      this.#published++;
    }
  }

  async #killNode(): Promise<number> {
    this.#look('at the kill of the node');
    const at = performance.now();
    this.#servers[KILLED]!.signalAll('SIGKILL');
    await this.#servers[KILLED]!.exited;
    return at;
  }

  async #restartNode(): Promise<void> {
    this.#servers[KILLED] = await this.#launch(KILLED);
    const server = this.#servers[KILLED];
    await server.waitFor('two other nodes', () => server.events('nodeUp').length >= NODES.length - 1);
    await this.#join(Math.floor(this.#parts.connections / NODES.length), () => KILLED, true);
    await this.#arrives();
    await this.#addSource(KILLED);
  }

  #look(moment: string): void {
    const ports = this.#servers.map(({ port }) => port);
    this.#watch.look(moment, ports);
  }

  /** @returns when all nodes have told of a gap in each of their rooms */
  async #gapsTold(from: number): Promise<number> {
    await Promise.all(
      this.#servers.map((server, node) => {
        const rooms = new Set(this.#membersNow(node).map(({ room }) => `r${room}`));
        return server.waitFor(`gaps of ${rooms.size} rooms`, () => {
          const told = new Set(gapsOf(server, from).keys());
          return [...rooms].every((room) => told.has(room));
        });
      }),
    );
    return performance.now();
  }

  #membersNow(node: number): Member[] {
    return this.#members.filter((member) => member.node === node && (node !== KILLED || member.isLate));
  }

  /** Nothing has come for a while. */
  async #settled(): Promise<void> {
    let before = -1;
    await poll('the last message', async () => {
      const now = this.#members.reduce((sum, { delivered }) => sum + delivered, 0);
      const isQuiet = now === before;
      before = now;
      await sleep(500 * PACE);
      return isQuiet;
    });
  }

  #result(killedAt: number, outage: { readonly from: number; readonly to: number }): LoadResult {
    const told = this.#servers.map((server) => gapsOf(server, outage.from));
    const tally = { told, lostWithNode: 0, lostInOutage: 0, faults: [] as string[] };
    for (const member of this.#members) this.#judge(member, { killedAt, outage, tally });
    const refused = this.#servers.flatMap((server) => server.events('refused'));
    if (refused.length > 0) tally.faults.push(`${refused.length} publications were refused`);
    return {
      published: this.#published,
      owed: this.#members.reduce((sum, member) => sum + this.#owedTo(member), 0),
      delivered: this.#members.reduce((sum, { delivered }) => sum + delivered, 0),
      lostWithNode: tally.lostWithNode,
      lostInOutage: tally.lostInOutage,
      outageMs: Math.round(outage.to - outage.from),
      gaps: this.#servers.flatMap((server) => server.events('gaps').flatMap(({ rooms }) => rooms as string[])).length,
      enginesLost: this.#servers.map((server) => server.events('clusterState').filter(isLoss).length),
      slowestMs: Math.round(this.#slowestMs),
      figures: this.#watch.result(),
      faults: tally.faults.slice(0, MOST_FAULTS),
    };
  }

  #owedTo(member: Member): number {
    const counts = this.#sources.map(({ name, sentAt }) => {
      const last = sentAt[member.room]!.length;
      return last - (member.first.get(name) ?? (member.isLate ? last : 0));
    });
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Each message of its room that has not come to a member has a reason. */
  #judge(
    member: Member,
    {
      killedAt,
      outage,
      tally,
    }: {
      readonly killedAt: number;
      readonly outage: { readonly from: number; readonly to: number };
      readonly tally: Tally;
    },
  ): void {
    const who = `a member of r${member.room} on ${NODES[member.node]}`;
    tally.faults.push(...member.faults.map((fault) => `${who}: ${fault}`));
    const [underWayToNode, underWayToEngine] = [killedAt - UNDER_WAY_MS, outage.from - UNDER_WAY_MS];
    for (const source of this.#sources) {
      const next = member.next.get(source.name) ?? 0;
      for (const number of this.#missedOf(member, source)) {
        // Nothing that was sent later has come: it was cut off, and not lost on the way.
        const isLast = number >= next;
        const at = source.sentAt[member.room]![number]!;
        const isOfKilled = (node: number, late: boolean): boolean =>
          node === KILLED && !late && at > underWayToNode && isLast;
        if (isOfKilled(member.node, member.isLate) || isOfKilled(source.node, source !== this.#sources[KILLED]!)) {
          tally.lostWithNode++;
        } else if (at > underWayToEngine && at < outage.to && source.node !== member.node) {
          tally.lostInOutage++;
          // A node that has told its gap before that was sent, and none since, has not told of it.
          const toldAt = tally.told[member.node]?.get(`r${member.room}`) ?? 0;
          if (toldAt < at) {
            const lateMs = Math.round(at - toldAt);
            tally.faults.push(`${who}: ${number} of ${source.name} was sent ${lateMs} ms after the last gap`);
          }
        } else
          tally.faults.push(
            `${who}: missed ${number} of ${source.name}, ${Math.round(at - killedAt)} ms after the kill of the node, ` +
              `${Math.round(at - outage.from)} ms after that of the engine`,
          );
      }
    }
  }

  *#missedOf(member: Member, { name, sentAt }: Source): Generator<number> {
    for (const { source, from, to } of member.missed) {
      if (source === name) for (let number = from; number < to; number++) yield number;
    }
    const last = sentAt[member.room]!.length;
    const next = member.next.get(name) ?? (member.isLate ? last : 0);
    for (let number = next; number < last; number++) yield number;
  }
}

const isLoss = ({ args }: Line): boolean => String(args) === 'reconnecting';

/** When a node has told its last gap of each room, at or after that time. */
function gapsOf(server: ServerProcess, from: number): Map<string, number> {
  const lines = server.events('gaps').filter(({ at }) => at >= from);
  return new Map(lines.flatMap(({ rooms, at }) => (rooms as string[]).map((room) => [room, at] as const)));
}

export function expectNothingUntold(result: LoadResult): void {
  expect(result.faults).toEqual([]);
  expect(result.gaps).toBeGreaterThan(0);
  expect(result.lostInOutage).toBeGreaterThan(0);
  expect(result.delivered + result.lostInOutage + result.lostWithNode).toBe(result.owed);
}
