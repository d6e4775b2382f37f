import { viewMemory } from '../../src/os/libc.js';
import type { Batch } from '../../src/reactor/batch.js';
import type { FakeTransport } from './fake-transport.js';

interface Added {
  readonly descriptor: number;
  readonly address: number;
  readonly length: number;
}

/** Sends to the clients of a `FakeTransport` together, from where the bytes lie when `submit` is called. */
export class FakeBatch implements Batch {
  readonly capacity: number;
  isUsable = true;
  /** How many sends each `submit` has had. */
  readonly submitted: number[] = [];
  readonly #transport: FakeTransport;
  readonly #added: Added[] = [];
  #results: readonly number[] = [];

  constructor(transport: FakeTransport, capacity = 1024) {
    this.#transport = transport;
    this.capacity = capacity;
  }

  get isFull(): boolean {
    return this.#added.length === this.capacity;
  }

  add(descriptor: number, address: number, length: number): void {
    this.#added.push({ descriptor, address, length });
  }

  submit(): void {
    const added = this.#added.splice(0);
    this.submitted.push(added.length);
    this.#results = added.map(({ descriptor, address, length }) => {
      const bytes = Buffer.from(viewMemory(address, length));
      return this.#transport.send({ descriptor }, bytes, 0, address, length);
    });
  }

  resultOf(number: number): number {
    return this.#results[number] as number;
  }
}
