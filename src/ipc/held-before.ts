/**
 * What waits for connections when something for rooms begins to wait: it goes first. A connection whose client does not keep
 * up is passed: others would wait for that client.
 */
import type { OutState } from './out-state.js';

/** The items of a connection up to a number. */
interface Held {
  readonly state: OutState;
  readonly ordinal: number;
}

export type HeldItems = readonly Held[];

export class HeldBefore {
  /** By reactor: of which an item was held since something for rooms has begun to wait last. */
  readonly #states: Set<OutState>[];

  constructor(reactors: number) {
    this.#states = Array.from({ length: reactors }, () => new Set());
  }

  add(reactor: number, state: OutState): void {
    this.#states[reactor]?.add(state);
  }

  /** Nothing of it is held any more. */
  forget(reactor: number, state: OutState): void {
    this.#states[reactor]?.delete(state);
  }

  take(reactor: number): HeldItems {
    const states = this.#states[reactor];
    if (states === undefined || states.size === 0) return [];
    const taken = [...states].map((state) => ({ state, ordinal: state.entered }));
    states.clear();
    return taken;
  }
}

export function haveLeft(items: HeldItems): boolean {
  return items.every(({ state, ordinal }) => {
    const { held, left, unconfirmed, window } = state;
    return held === null || left >= ordinal || unconfirmed >= window;
  });
}
