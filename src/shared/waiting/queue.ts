/**
 * Those who wait for something in shared memory, and those who have got it. Both stand in slots, and the slots are all there is
 * to know: whatever else an object tells is computed from them. Each change is the store of one word, the state of a slot, so
 * a process can die between any two steps and leaves nothing to undo.
 *
 * ```
 * header, 64 B: guard │ top │ died │ lockWaits │ broken │ ticket      slot, 32 B: state │ owner │ want │ flags │ ticket
 * ```
 * Changes are made under the guard, an `OwnedLock` of microseconds. `top` is above all slots in use: it rises before one is
 * used and falls afterwards.
 */
import { ServerError } from '../../errors/index.js';
import { float64, int32, layoutRecord } from '../../memory/record.js';
import type { SharedObject } from '../arena.js';
import { OwnedLock } from '../owned-lock.js';
import { ourWaiting, type Waiting } from './waiting.js';

const HEADER_BYTES = 64;
const SLOT_BYTES = 32;
const header = layoutRecord(
  { guard: int32(), top: int32(), died: int32(), lockWaits: int32(), broken: int32(), ticket: float64() },
  HEADER_BYTES,
).at;
const slot = layoutRecord(
  { state: int32(), owner: int32(), want: int32(), flags: int32(), ticket: float64() },
  SLOT_BYTES,
).at;
const INTS = SLOT_BYTES / 4;
const FLOATS = SLOT_BYTES / 8;
const FIRST_INT = HEADER_BYTES / 4;
const FIRST_FLOAT = HEADER_BYTES / 8;
const PATIENCE_MS = 1000;

export const FREE = 0;
export const WAITING = 1;
/** Its owner has not noticed yet. */
export const GRANTED = 2;
export const TAKEN = 3;

export function queueBytes(slots: number): number {
  return HEADER_BYTES + slots * SLOT_BYTES;
}

/** What tests replace. */
export interface QueueParts {
  readonly waiting?: Waiting;
  readonly patienceMs?: number;
  /** Called before each step that changes the memory. */
  readonly atStep?: () => void;
}

export interface QueueShape {
  /** Where it begins in the object's memory. */
  readonly at: number;
  readonly slots: number;
  /** The option that sets `slots`, for the error. */
  readonly option: string;
}

export interface QueueFigures {
  readonly waiting: number;
  readonly held: number;
  readonly lockWaits: number;
  readonly brokenLocks: number;
}

/** Whose turn it is: turns slots that wait into granted ones. Called under the guard. */
export type Grant = (queue: Queue) => void;

export class Queue {
  readonly object: SharedObject;
  readonly waiting: Waiting;
  readonly step: () => void;
  readonly #shape: QueueShape;
  readonly #grant: Grant;
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #guard: OwnedLock;
  readonly #toRing = new Set<number>();
  /** A death that a test has made up leaves all as it is. */
  #isDead = false;

  constructor(object: SharedObject, shape: QueueShape, grant: Grant, parts: QueueParts = {}) {
    const bytes = queueBytes(shape.slots);
    this.object = object;
    this.waiting = parts.waiting ?? ourWaiting;
    this.step = parts.atStep === undefined ? () => {} : this.#mortal(parts.atStep);
    this.#shape = shape;
    this.#grant = grant;
    this.#int32 = new Int32Array(object.memory, shape.at, bytes / 4);
    this.#float64 = new Float64Array(object.memory, shape.at, bytes / 8);
    this.#guard = new OwnedLock(this.#int32, object.owners, parts.patienceMs ?? PATIENCE_MS);
  }

  /**
   * Changes under the guard, then rings whom it has granted something. Where it throws, the guard is free again, and what it has
   * freed goes on to others as after a death.
   * @throws ServerError ERR_SHARED_STUCK a stopped process holds the guard; what `change` throws
   */
  locked<T>(change: () => T): T {
    const acquired = this.#guard.acquire(header.guard);
    if (acquired === 'busy') throw new ServerError('ERR_SHARED_STUCK', this.#names);
    let isWhole = false;
    try {
      if (acquired === 'inherited') this.#grant(this);
      this.step();
      const result = change();
      this.step();
      isWhole = true;
      return result;
    } finally {
      if (!this.#isDead) this.#unlock(isWhole);
    }
  }

  #unlock(isWhole: boolean): void {
    try {
      if (!isWhole) this.#grant(this);
    } finally {
      this.#guard.release(header.guard);
      this.step();
      this.ring();
    }
  }

  #mortal(atStep: () => void): () => void {
    return () => {
      try {
        atStep();
      } catch (error) {
        this.#isDead = true;
        throw error;
      }
    };
  }

  /**
   * Enters a slot that waits, and lets everyone have what is free. Under the guard.
   * @returns −1: all slots are in use
   */
  enter(want: number): number {
    const index = this.#freeSlot();
    if (index < 0) return -1;
    const ticket = (this.#float64[header.ticket] ?? 0) + 1;
    this.#float64[header.ticket] = ticket;
    this.#set(index, slot.owner, this.object.owners.word);
    this.#set(index, slot.want, want);
    this.#set(index, slot.flags, 0);
    this.#float64[FIRST_FLOAT + index * FLOATS + slot.ticket] = ticket;
    this.step();
    if (index >= this.top) this.#int32[header.top] = index + 1;
    this.setState(index, WAITING);
    this.#grant(this);
    return index;
  }

  /** Slots of the dead are used again before the queue says that it is full. @throws ServerError ERR_SHARED_WAITERS */
  enterSurely(want: number): number {
    const index = this.locked(() => this.enter(want));
    if (index >= 0) return index;
    this.settle('all');
    const again = this.locked(() => this.enter(want));
    if (again < 0) throw this.full();
    return again;
  }

  /** Under the guard, or by its owner alone. */
  setState(index: number, state: number): void {
    this.step();
    Atomics.store(this.#int32, FIRST_INT + index * INTS + slot.state, state);
    this.step();
  }

  /** Frees a slot of this process and passes on what it had. Under the guard. @param isBroken its holder may have left things undone */
  leave(index: number, isBroken: boolean): void {
    this.#free(index, isBroken);
    this.#grant(this);
  }

  /** The slot has what it waited for; its owner is rung afterwards. Under the guard. */
  grant(index: number): void {
    if (this.isBroken) this.#set(index, slot.flags, 1);
    this.setState(index, GRANTED);
    this.#toRing.add(this.owner(index));
  }

  /** Rings the owner of a slot once the guard is free, or at `ring()`. */
  ringLater(index: number): void {
    this.#toRing.add(this.owner(index));
  }

  /** A granted slot belongs to its owner from now on. */
  take(index: number): boolean {
    if (this.state(index) !== GRANTED) return false;
    this.setState(index, TAKEN);
    return true;
  }

  /** Frees the slots of owners that died, and passes on what they had. @param who `holders`: those who keep others waiting */
  settle(who: 'holders' | 'all'): void {
    const dead = this.#dead(who);
    if (dead.size > 0) this.locked(() => this.#bury(dead));
  }

  /** Rings again those who may not have been rung, because the one who should have died. */
  ringGranted(): void {
    for (let index = 0; index < this.top; index++) {
      if (this.state(index) === GRANTED) this.#toRing.add(this.owner(index));
    }
    this.ring();
  }

  countLockWait(): void {
    Atomics.add(this.#int32, header.lockWaits, 1);
  }

  get slots(): number {
    return this.#shape.slots;
  }

  /** Above all slots in use. */
  get top(): number {
    return this.#int32[header.top] ?? 0;
  }

  /** A holder died, and nobody has been told since. */
  get isBroken(): boolean {
    return this.#int32[header.died] !== 0;
  }

  /** The one who was told is granted: now the flag is his. */
  clearBroken(): void {
    this.step();
    this.#int32[header.died] = 0;
  }

  state(index: number): number {
    return Atomics.load(this.#int32, FIRST_INT + index * INTS + slot.state);
  }

  want(index: number): number {
    return this.#get(index, slot.want);
  }

  owner(index: number): number {
    return this.#get(index, slot.owner);
  }

  ticket(index: number): number {
    return this.#float64[FIRST_FLOAT + index * FLOATS + slot.ticket] ?? 0;
  }

  isTold(index: number): boolean {
    return this.#get(index, slot.flags) !== 0;
  }

  /** The words of those that hold it. */
  holders(): number[] {
    const all = Array.from({ length: this.top }, (_, index) => index);
    return all.filter((index) => this.state(index) >= GRANTED).map((index) => this.owner(index));
  }

  figures(): QueueFigures {
    const states = Array.from({ length: this.top }, (_, index) => this.state(index));
    return {
      waiting: states.filter((state) => state === WAITING).length,
      held: states.filter((state) => state >= GRANTED).length,
      lockWaits: this.#int32[header.lockWaits] ?? 0,
      brokenLocks: this.#int32[header.broken] ?? 0,
    };
  }

  full(): ServerError {
    const { option, slots } = this.#shape;
    return new ServerError('ERR_SHARED_WAITERS', { ...this.#names, limit: slots, option });
  }

  get #names(): { kind: string; name: string } {
    return { kind: this.object.kind, name: this.object.name };
  }

  #freeSlot(): number {
    for (let index = 0; index < this.#shape.slots; index++) {
      if (this.state(index) === FREE) return index;
    }
    return -1;
  }

  #free(index: number, isBroken: boolean): void {
    if (isBroken) this.#int32[header.died] = 1;
    this.setState(index, FREE);
    let top = this.top;
    while (top > 0 && this.state(top - 1) === FREE) top--;
    this.#int32[header.top] = top;
  }

  /** Asks about each owner once, outside of the guard. Words are never used again, so that a dead owner stays dead. */
  #dead(who: 'holders' | 'all'): Set<number> {
    const words = new Set<number>();
    const guard = Atomics.load(this.#int32, header.guard);
    if (guard !== 0) words.add(guard);
    for (let index = 0; index < this.top; index++) {
      const state = this.state(index);
      if (state >= GRANTED || (who === 'all' && state === WAITING)) words.add(this.owner(index));
    }
    words.delete(this.object.owners.word);
    return new Set([...words].filter((word) => !this.object.owners.isAlive(word)));
  }

  /** One that was granted something and had not noticed has broken nothing. */
  #bury(dead: ReadonlySet<number>): void {
    for (let index = this.top - 1; index >= 0; index--) {
      const state = this.state(index);
      if (state === FREE || !dead.has(this.owner(index))) continue;
      if (state === TAKEN) Atomics.add(this.#int32, header.broken, 1);
      this.#free(index, state === TAKEN || (state === GRANTED && this.isTold(index)));
    }
    this.#grant(this);
  }

  /** Those of `ringLater`. */
  ring(): void {
    for (const word of this.#toRing) this.waiting.ring(this.object.owners, word);
    this.#toRing.clear();
  }

  #get(index: number, field: number): number {
    return this.#int32[FIRST_INT + index * INTS + field] ?? 0;
  }

  #set(index: number, field: number, value: number): void {
    this.step();
    this.#int32[FIRST_INT + index * INTS + field] = value;
  }
}
