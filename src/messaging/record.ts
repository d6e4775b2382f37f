/**
 * The contents of a slot besides its word: the task's (or message's) data, and its result. Short values lie in the slot,
 * longer ones in the overflow file.
 *
 * ```
 *  0            8             16             24              32         36           40      44      64   288     512
 * ┌────────────┬─────────────┬──────────────┬───────────────┬──────────┬────────────┬───────┬───────┬────┬───────┐
 * │ data bytes │ data offset │ result bytes │ result offset │ data kind│ result kind│ target│ purpose│data│result│
 * └────────────┴─────────────┴──────────────┴───────────────┴──────────┴────────────┴───────┴───────┴────┴───────┘
 * ```
 * An offset of 0: the value lies in the slot. The result has its own place, because a task whose runner dies while it
 * writes the result is run again on the same data.
 */
import { ServerError } from '../errors/index.js';
import { SLOT_BYTES } from '../memory/messaging-layout.js';
import { readUtf8, writeUtf8 } from '../util/utf8.js';
import type { MessagingMemory } from './memory.js';
import type { Overflow } from './overflow.js';
import { decodeText, decodeValue, type EncodedValue, encodeBareError, encodeError, isText } from './value.js';

/** The places of the fields of `data` or `result`. */
interface Part {
  /** Float64 index of the length; the offset is the next. */
  readonly lengthAt: number;
  readonly kindAt: number;
  readonly inlineAt: number;
}
const DATA: Part = { lengthAt: 0, kindAt: 8, inlineAt: 64 };
const RESULT: Part = { lengthAt: 2, kindAt: 9, inlineAt: 288 };
const INLINE_BYTES = 224;
const TARGET = 10;
const PURPOSE = 11;

/**
 * `service`: a message of the server's own, such as one to the broker process of a cluster. `job`: a task that runs the
 * handler of a durable job; its queue alone decides whether it runs again.
 */
export const Purpose = { task: 0, message: 1, service: 2, job: 3 } as const;
export type Purpose = (typeof Purpose)[keyof typeof Purpose];

export class Records {
  readonly #memory: MessagingMemory;
  readonly #overflow: Overflow;

  constructor(memory: MessagingMemory, overflow: Overflow) {
    this.#memory = memory;
    this.#overflow = overflow;
  }

  /** @param target process id, −1: any free task worker */
  describe(peer: number, slot: number, purpose: Purpose, target: number): void {
    const { int32 } = this.#memory.slotsOf(peer);
    const at = (slot * SLOT_BYTES) / 4;
    int32[at + TARGET] = target;
    int32[at + PURPOSE] = purpose;
  }

  target(peer: number, slot: number): number {
    return this.#memory.slotsOf(peer).int32[(slot * SLOT_BYTES) / 4 + TARGET] ?? -1;
  }

  isMessage(peer: number, slot: number): boolean {
    const purpose = this.#purpose(peer, slot);
    return purpose === Purpose.message || purpose === Purpose.service;
  }

  isService(peer: number, slot: number): boolean {
    return this.#purpose(peer, slot) === Purpose.service;
  }

  isJob(peer: number, slot: number): boolean {
    return this.#purpose(peer, slot) === Purpose.job;
  }

  writeData(peer: number, slot: number, value: EncodedValue): void {
    this.#write(peer, slot, DATA, value);
  }

  writeResult(peer: number, slot: number, value: EncodedValue): void {
    this.#free(peer, slot, RESULT); // left by an earlier runner that died
    this.#write(peer, slot, RESULT, value);
  }

  /** As the result. A caller learns of it in any case: where the file has no room, from the slot. @returns what lies there */
  writeError(peer: number, slot: number, error: ServerError): EncodedValue {
    const whole = encodeError(error);
    try {
      this.writeResult(peer, slot, whole);
      return whole;
    } catch {
      const bare = encodeBareError(error);
      this.writeResult(peer, slot, bare);
      return bare;
    }
  }

  readData(peer: number, slot: number): unknown | Promise<unknown> {
    return this.#read(peer, slot, DATA);
  }

  readResult(peer: number, slot: number): unknown | Promise<unknown> {
    return this.#read(peer, slot, RESULT);
  }

  dataBytes(peer: number, slot: number): number {
    return this.#memory.slotsOf(peer).float64[(slot * SLOT_BYTES) / 8 + DATA.lengthAt] ?? 0;
  }

  /** Frees the memory that the values hold outside the slot. Idempotent. */
  free(peer: number, slot: number): void {
    this.#free(peer, slot, DATA);
    this.#free(peer, slot, RESULT);
  }

  #purpose(peer: number, slot: number): number | undefined {
    return this.#memory.slotsOf(peer).int32[(slot * SLOT_BYTES) / 4 + PURPOSE];
  }

  #write(peer: number, slot: number, part: Part, value: EncodedValue): void {
    const { bytes, int32, float64 } = this.#memory.slotsOf(peer);
    const floats = (slot * SLOT_BYTES) / 8 + part.lengthAt;
    const { kind, content, length } = value;
    int32[(slot * SLOT_BYTES) / 4 + part.kindAt] = kind;
    float64[floats] = length;
    if (length <= INLINE_BYTES) {
      float64[floats + 1] = 0;
      const at = slot * SLOT_BYTES + part.inlineAt;
      if (typeof content === 'string') writeUtf8(bytes, content, at, length);
      else bytes.set(content, at);
      return;
    }
    const offset = this.#overflow.reserve(length);
    float64[floats + 1] = offset;
    this.#overflow.write(offset, typeof content === 'string' ? Buffer.from(content) : content);
  }

  #read(peer: number, slot: number, part: Part): unknown | Promise<unknown> {
    const { bytes, int32, float64 } = this.#memory.slotsOf(peer);
    const floats = (slot * SLOT_BYTES) / 8 + part.lengthAt;
    const kind = int32[(slot * SLOT_BYTES) / 4 + part.kindAt] ?? 0;
    const length = float64[floats] ?? 0;
    const offset = float64[floats + 1] ?? 0;
    if (offset !== 0) {
      const data = this.#overflow.read(offset, length);
      return data instanceof Promise ? data.then((all) => decodeValue(kind, all)) : decodeValue(kind, data);
    }
    const at = slot * SLOT_BYTES + part.inlineAt;
    if (isText(kind)) return decodeText(kind, readUtf8(bytes, at, at + length));
    const copy = Buffer.allocUnsafe(length);
    bytes.copy(copy, 0, at, at + length);
    return decodeValue(kind, copy);
  }

  #free(peer: number, slot: number, part: Part): void {
    const { float64 } = this.#memory.slotsOf(peer);
    const floats = (slot * SLOT_BYTES) / 8 + part.lengthAt;
    const offset = float64[floats + 1] ?? 0;
    if (offset === 0) return;
    this.#overflow.free(offset, float64[floats] ?? 0);
    float64[floats + 1] = 0;
  }
}

/** @param cause what the kernel has said */
export function notStored(bytes: number, cause: unknown): ServerError<'ERR_DATA_STORE'> {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ServerError('ERR_DATA_STORE', { bytes, why }, { cause });
}
