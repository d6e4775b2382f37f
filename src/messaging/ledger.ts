/**
 * Changes a slot's word and counts that change, so that the two agree even if this process is killed in between. The
 * intended change is recorded first, with the new totals; after a death the manager sees by the word whether it was done.
 * One ledger per peer.
 */
import { type Counter, LedgerField, type MessagingMemory } from './memory.js';
import { ABORTED, GONE, SlotState, stateOf, useOf } from './word.js';

const NONE = -1;

export class Ledger {
  readonly #memory: MessagingMemory;
  readonly #peer: number;

  /** @param peer who changes words: this process */
  constructor(memory: MessagingMemory, peer: number) {
    this.#memory = memory;
    this.#peer = peer;
  }

  /** @returns false when the word was no longer `from`; then nothing is counted */
  change(index: number, from: number, to: number, counter: Counter, other?: Counter): boolean {
    const peer = this.#peer;
    const { int32, float64 } = this.#memory;
    const at = this.#memory.ledgerIndex(peer);
    const targets = this.#memory.ledgerTargetsIndex(peer);
    const counterAt = this.#memory.counterIndex(peer, counter);
    const otherAt = other === undefined ? NONE : this.#memory.counterIndex(peer, other);
    int32[at + LedgerField.counterA] = counterAt;
    int32[at + LedgerField.counterB] = otherAt;
    float64[targets] = (float64[counterAt] ?? 0) + 1;
    float64[targets + 1] = otherAt === NONE ? 0 : (float64[otherAt] ?? 0) + 1;
    int32[at + LedgerField.wordIndex] = index;
    int32[at + LedgerField.oldWord] = from;
    int32[at + LedgerField.newWord] = to;
    Atomics.store(int32, at + LedgerField.armed, 1);
    const changed = Atomics.compareExchange(int32, index, from, to) === from;
    if (changed) this.#count(peer);
    Atomics.store(int32, at + LedgerField.armed, 0);
    return changed;
  }

  /** After the death of `peer`: counts what it had done but not counted. Call it before anything else of the peer changes. */
  settle(peer: number): void {
    const { int32 } = this.#memory;
    const at = this.#memory.ledgerIndex(peer);
    if (Atomics.load(int32, at + LedgerField.armed) === 0) return;
    const word = Atomics.load(int32, int32[at + LedgerField.wordIndex] ?? 0);
    if (hasHappened(word, int32[at + LedgerField.oldWord] ?? 0, int32[at + LedgerField.newWord] ?? 0))
      this.#count(peer);
    Atomics.store(int32, at + LedgerField.armed, 0);
  }

  #count(peer: number): void {
    const { int32, float64 } = this.#memory;
    const at = this.#memory.ledgerIndex(peer);
    const targets = this.#memory.ledgerTargetsIndex(peer);
    float64[int32[at + LedgerField.counterA] ?? 0] = float64[targets] ?? 0;
    const other = int32[at + LedgerField.counterB] ?? NONE;
    if (other !== NONE) float64[other] = float64[targets + 1] ?? 0;
  }
}

/** Whether a change `from` → `to` was made, judged by the current word: others may have changed either since. */
function hasHappened(word: number, from: number, to: number): boolean {
  if (word === from) return false;
  const isOver = useOf(word) !== useOf(from) || stateOf(word) === SlotState.free;
  if (to === (from | ABORTED)) return isOver || (word & ABORTED) !== 0;
  // Abandoned while it waited; otherwise a runner has taken it.
  if (stateOf(from) === SlotState.queued) return isOver;
  return unmarked(word) !== unmarked(from);
}

const unmarked = (word: number): number => word & ~(GONE | ABORTED);
