/**
 * What every gate must do that a client passes before it is a connection, over real sockets. Joined by the gates of
 * `admission-gates.test.ts`.
 */
import type { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Arrival } from '../../src/ipc/arrival.js';
import { addressOf, allocateStable } from '../../src/os/libc.js';
import { receive } from '../../src/os/socket.js';
import type { AdmissionGate, Entrant } from '../../src/reactor/admission/gate.js';
import type { PendingRecord, Snapshot } from '../../src/reactor/handoff/snapshot.js';
import type { Transport } from '../../src/reactor/transport/transport.js';
import { poll } from '../helpers/server-process.js';

/** A client on its way in. */
export interface Comer {
  readonly arrival: Arrival;
  /** The client's end; it may be reset. */
  readonly socket: Socket;
  /** What makes it pass, of which it may send a part only; undefined where more than one step is needed. */
  readonly words?: Buffer;
  /** It does what makes it pass, and says `then` right behind. */
  passes(then: string): void;
  /** It sends what is refused. */
  fails(): void;
}

export interface GateWorld {
  readonly gate: AdmissionGate;
  /** Of clients that have not shaken hands. */
  readonly transport: Transport;
  /** The poller reports. */
  look(): void;
  /** The time of a client that has not passed is over. */
  deadlinePasses(): void;
  readonly refused: (readonly [arrival: Arrival, why: string])[];
  come(): Promise<Comer>;
  /** What an entrant has sent behind what the gate has taken, so far. */
  saidBy(entrant: Entrant): string;
  /** Where clients can go over to the gate of the next process. */
  takeOver?(snapshot: Snapshot<PendingRecord>, next: (entrant: Entrant) => void): void;
  end(): void;
}

const space = allocateStable(65_536);
const spaceAddress = addressOf(space);
const nothing = Buffer.alloc(0);
/** Long enough for a client that might still pass. */
const QUIET_MS = 60;

interface Inside {
  readonly arrival: Arrival;
  readonly entrant: Entrant;
  readonly early: string;
}

/** A gate, and who has passed it. */
class Entry {
  readonly world: GateWorld;
  readonly inside: Inside[] = [];

  constructor(world: GateWorld) {
    this.world = world;
  }

  admit({ arrival }: Comer, early: Buffer = nothing): void {
    const { transport } = this.world;
    this.world.gate.admit({ arrival, early, isWatched: false, secure: null, transport }, (entrant) =>
      this.enter(entrant),
    );
  }

  enter(entrant: Entrant): void {
    this.inside.push({ arrival: entrant.arrival, entrant, early: this.world.saidBy(entrant) });
  }

  async until(what: string, look: () => boolean): Promise<void> {
    await poll(what, () => {
      this.world.look();
      return look();
    });
  }

  /** Nothing more happens. */
  async rest(): Promise<void> {
    const end = Date.now() + QUIET_MS;
    await this.until('it is quiet', () => Date.now() > end);
  }
}

export function gateConformance(name: string, create: () => GateWorld): void {
  describe(`the ${name} gate`, () => {
    const worlds: GateWorld[] = [];
    const open = (): Entry => {
      const world = create();
      worlds.push(world);
      return new Entry(world);
    };
    afterEach(() => {
      for (const world of worlds.splice(0)) {
        world.gate.clear();
        world.end();
      }
    });
    letsIn(open);
    turnsAway(open);
    handsOver(open);
  });
}

function letsIn(open: () => Entry): void {
  describe('lets in', () => {
    it('a client that does what is asked, once', async () => {
      const entry = open();
      const comer = await entry.world.come();
      entry.admit(comer);
      expect([entry.inside.length, entry.world.gate.waiting]).toEqual([0, 1]);
      comer.passes('');
      await entry.until('it is inside', () => entry.inside.length > 0);
      await entry.rest();
      expect(entry.inside.length).toBe(1);
      expect(entry.inside[0]?.arrival).toMatchObject({ descriptor: comer.arrival.descriptor, portIndex: 0 });
      expect([entry.world.gate.waiting, entry.world.refused]).toEqual([0, []]);
    });

    it('what it says right behind, too', async () => {
      const entry = open();
      const comer = await entry.world.come();
      entry.admit(comer);
      comer.passes('hello');
      let said = '';
      await entry.until('it has said something', () => {
        const [first] = entry.inside;
        if (first !== undefined) said ||= first.early || entry.world.saidBy(first.entrant);
        return said.length >= 5;
      });
      expect(said).toBe('hello');
    });

    it('a client of which a part was read before', async () => {
      const entry = open();
      const comer = await entry.world.come();
      const { words } = comer;
      if (words === undefined) comer.passes('');
      else comer.socket.write(words.subarray(0, words.length / 2));
      const n = await poll('it has said something', () => {
        const bytes = receive(comer.arrival.descriptor, spaceAddress, space.length);
        return bytes > 0 ? bytes : undefined;
      });
      entry.admit(comer, Buffer.from(space.subarray(0, n)));
      if (words !== undefined) comer.socket.write(words.subarray(words.length / 2));
      await entry.until('it is inside', () => entry.inside.length > 0);
      expect(entry.world.refused).toEqual([]);
    });

    it('several clients, each by itself', async () => {
      const entry = open();
      const comers: Comer[] = [];
      for (let i = 0; i < 3; i++) {
        const comer = await entry.world.come();
        comers.push(comer);
        entry.admit(comer);
      }
      expect(entry.world.gate.waiting).toBe(3);
      comers[1]?.passes('');
      await entry.until('one is inside', () => entry.inside.length > 0);
      expect(entry.world.gate.waiting).toBe(2);
      comers[0]?.passes('');
      comers[2]?.passes('');
      await entry.until('all are inside', () => entry.inside.length === 3);
      const descriptors = entry.inside.map(({ arrival }) => arrival.descriptor).sort();
      expect(descriptors).toEqual(comers.map(({ arrival }) => arrival.descriptor).sort());
    });
  });
}

function turnsAway(open: () => Entry): void {
  const expectRefused = (entry: Entry, comer: Comer): void => {
    const [refusal] = entry.world.refused;
    expect(entry.world.refused.length).toBe(1);
    expect(refusal?.[0]).toMatchObject({ descriptor: comer.arrival.descriptor, portIndex: 0 });
    expect(refusal?.[1]).toMatch(/\w+ \w+|\w+_\w+/);
    expect([entry.inside.length, entry.world.gate.waiting]).toEqual([0, 0]);
  };

  describe('turns away, with a reason', () => {
    it('a client that says something else', async () => {
      const entry = open();
      const comer = await entry.world.come();
      entry.admit(comer);
      comer.fails();
      await entry.until('it is refused', () => entry.world.refused.length > 0);
      await entry.rest();
      expectRefused(entry, comer);
    });

    it('a client that ends before', async () => {
      const entry = open();
      const comer = await entry.world.come();
      entry.admit(comer);
      comer.socket.end();
      comer.socket.resume();
      await entry.until('it is refused', () => entry.world.refused.length > 0);
      expectRefused(entry, comer);
    });

    it('a client that is reset before', async () => {
      const entry = open();
      const comer = await entry.world.come();
      entry.admit(comer);
      comer.socket.resetAndDestroy();
      await entry.until('it is refused', () => entry.world.refused.length > 0);
      expectRefused(entry, comer);
    });

    it('a client that says nothing in time', async () => {
      const entry = open();
      const comer = await entry.world.come();
      entry.admit(comer);
      await entry.rest();
      expect(entry.world.refused).toEqual([]);
      entry.world.deadlinePasses();
      await entry.until('it is refused', () => entry.world.refused.length > 0);
      expectRefused(entry, comer);
    });

    it('all that wait, when the server lets nobody in any more', async () => {
      const entry = open();
      const comers = [await entry.world.come(), await entry.world.come()];
      for (const comer of comers) entry.admit(comer);
      entry.world.gate.clear();
      for (const comer of comers) comer.passes('late');
      await entry.until('both are refused', () => entry.world.refused.length === 2);
      await entry.rest();
      expect([entry.inside.length, entry.world.gate.waiting, entry.world.refused.length]).toEqual([0, 0, 2]);
    });

    it('nobody that is inside already', async () => {
      const entry = open();
      const comer = await entry.world.come();
      entry.admit(comer);
      comer.passes('');
      await entry.until('it is inside', () => entry.inside.length > 0);
      entry.world.gate.clear();
      entry.world.deadlinePasses();
      await entry.rest();
      expect(entry.world.refused).toEqual([]);
    });
  });
}

function handsOver(open: () => Entry): void {
  describe('when another process comes', () => {
    it('hands over those that can go, and forgets them', async () => {
      const entry = open();
      const { gate, takeOver } = entry.world;
      const comer = await entry.world.come();
      entry.admit(comer);
      const snapshots = gate.handOver();
      if (takeOver === undefined) return expect([snapshots, gate.waiting]).toEqual([[], 1]);
      expect([snapshots.length, gate.waiting]).toEqual([1, 0]);
      expect(snapshots[0]).toMatchObject({ descriptor: comer.arrival.descriptor, record: { kind: 'pending' } });
    });

    it('takes up those that were on their way, where they were', async () => {
      const entry = open();
      const { gate, takeOver } = entry.world;
      const comer = await entry.world.come();
      const { words = nothing } = comer;
      entry.admit(comer);
      comer.socket.write(words.subarray(0, 5));
      await entry.rest();
      const next = open();
      for (const { record, ...rest } of gate.handOver()) {
        const snapshot = { ...rest, record: JSON.parse(JSON.stringify(record)) as PendingRecord };
        next.world.takeOver?.(snapshot, (entrant) => next.enter(entrant));
      }
      if (takeOver === undefined) return;
      comer.socket.write(Buffer.concat([words.subarray(5), Buffer.from('hello')]));
      await next.until('it is inside', () => next.inside.length > 0);
      expect(next.inside[0]?.arrival).toMatchObject({ descriptor: comer.arrival.descriptor, portIndex: 0 });
      expect([next.inside[0]?.early, next.world.gate.waiting]).toEqual(['hello', 0]);
      expect([entry.inside, entry.world.refused]).toEqual([[], []]);
    });
  });
}
