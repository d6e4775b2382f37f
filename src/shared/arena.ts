/**
 * The memory of the user's shared objects: one anonymous file per server, or one that has a path. Every process maps the
 * beginning, finds an object in the directory by its kind and name, and maps it. Objects can be added while the server runs:
 * whoever asks for one first makes it. They are never removed.
 *
 * ```
 * ┌────────┬──────────────┬───────────────────────┬──────────┬──────────┬──
 * │ header │ owners       │ directory             │ object   │ object   │   sparse: pages that nobody has written take
 * │ 4 KiB  │ 24 KiB       │ 256 entries of 4 KiB  │          │          │   no memory
 * └────────┴──────────────┴───────────────────────┴──────────┴──────────┴──
 * ```
 */
import { fstatSync, ftruncateSync } from 'node:fs';
import { ServerError } from '../errors/index.js';
import { float64, int32, layoutRecord } from '../memory/record.js';
import { createSharedFile, mapShared, PAGE_BYTES } from '../os/memory.js';
import { type Kind, kinds } from './kinds.js';
import { OwnedLock } from './owned-lock.js';
import { OWNERS_BYTES, Owners, type OwnersParts } from './owners.js';

const MAGIC_VALUE = 0x7473_7731; // 'tsw1'
const HEADER_BYTES = 4096;
export const MAX_OBJECTS = 256;
const ENTRY_BYTES = 4096;
const DIRECTORY_AT = alignTo(HEADER_BYTES + OWNERS_BYTES, PAGE_BYTES);
const FIRST_OBJECT_AT = alignTo(DIRECTORY_AT + MAX_OBJECTS * ENTRY_BYTES, PAGE_BYTES);
const MAX_NAME_BYTES = 256;
const PATIENCE_MS = 1000;
/** The largest that one view can have on every Node that runs this. */
export const MAX_OBJECT_BYTES = 2 ** 32;

const header = layoutRecord({ magic: int32(), lock: int32(), objects: int32(), endsAt: float64() }, HEADER_BYTES).at;
const entry = layoutRecord(
  { kind: int32(), nameBytes: int32(), schemaBytes: int32(), spare: int32(), at: float64(), bytes: float64() },
  ENTRY_BYTES,
);
const MAX_SCHEMA_BYTES = ENTRY_BYTES - entry.usedBytes - MAX_NAME_BYTES;

/** What an object is, the same in each process. */
export interface ObjectSpec {
  readonly kind: Kind;
  readonly name: string;
  /** In words that the user knows, and complete: another one behind the same name is an error that tells both. */
  readonly schema: string;
  readonly bytes: number;
  /** Fills memory that is zeroed. Another process sees the object only afterwards; one that died here begins anew. */
  initialise?(memory: ArrayBuffer): void;
}

export interface SharedObject {
  readonly kind: Kind;
  readonly name: string;
  readonly schema: string;
  /** The same in every process that attaches the object. */
  readonly memory: ArrayBuffer;
  readonly owners: Owners;
}

export class Arena {
  readonly descriptor: number;
  readonly owners: Owners;
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #bytes: Buffer;
  readonly #lock: OwnedLock;
  readonly #attached = new Map<number, SharedObject>();

  private constructor(descriptor: number, parts: OwnersParts) {
    const memory = mapShared(descriptor, 0, FIRST_OBJECT_AT);
    this.descriptor = descriptor;
    this.#int32 = new Int32Array(memory);
    this.#float64 = new Float64Array(memory);
    this.#bytes = Buffer.from(memory);
    this.owners = new Owners(memory, HEADER_BYTES, parts);
    this.#lock = new OwnedLock(this.#int32, this.owners, PATIENCE_MS);
  }

  static create(parts: OwnersParts = {}): Arena {
    const arena = new Arena(createSharedFile('tswoole-shared', FIRST_OBJECT_AT), parts);
    arena.#float64[header.endsAt] = FIRST_OBJECT_AT;
    Atomics.store(arena.#int32, header.magic, MAGIC_VALUE);
    return arena;
  }

  /** @param descriptor inherited, or, in another thread, the same number */
  static open(descriptor: number, parts: OwnersParts = {}): Arena {
    const arena = new Arena(descriptor, parts);
    if (arena.#int32[header.magic] !== MAGIC_VALUE) throw new Error(`descriptor ${descriptor} holds no shared objects`);
    return arena;
  }

  /**
   * Finds the object, or makes it.
   * @throws ServerError ERR_SHARED_SCHEMA another one has its kind and name; ERR_SHARED_LIMIT too many, or too large;
   *   ERR_SHARED_NAME; ERR_SHARED_BUSY
   */
  attach(spec: ObjectSpec): SharedObject {
    const nameBytes = Buffer.byteLength(spec.name);
    if (nameBytes === 0 || nameBytes > MAX_NAME_BYTES)
      throw new ServerError('ERR_SHARED_NAME', { received: spec.name });
    if (spec.bytes > MAX_OBJECT_BYTES)
      throw tooMuch(spec, `it takes ${spec.bytes} bytes, of at most ${MAX_OBJECT_BYTES}`);
    if (this.#lock.acquire(header.lock) === 'busy') throw new ServerError('ERR_SHARED_BUSY', { name: spec.name });
    try {
      const found = this.#find(spec);
      if (found >= 0) return this.#open(found, spec);
      return this.#make(spec);
    } finally {
      this.#lock.release(header.lock);
    }
  }

  /** All that there are, made by any process. */
  objects(): SharedObject[] {
    return Array.from({ length: this.#count }, (_, index) => this.#object(index));
  }

  get #count(): number {
    return Atomics.load(this.#int32, header.objects);
  }

  #find({ kind, name }: ObjectSpec): number {
    for (let index = 0; index < this.#count; index++) {
      if (this.#int(index, entry.at.kind) === kinds.indexOf(kind) && this.#nameOf(index) === name) return index;
    }
    return -1;
  }

  #open(index: number, { kind, name, schema }: ObjectSpec): SharedObject {
    const there = this.#schemaOf(index);
    if (there !== clip(schema)) throw new ServerError('ERR_SHARED_SCHEMA', { kind, name, there, declared: schema });
    return this.#object(index);
  }

  /** The count comes last: a process that dies before leaves nothing that others see. */
  #make(spec: ObjectSpec): SharedObject {
    const index = this.#count;
    if (index >= MAX_OBJECTS) throw tooMuch(spec, `there are ${MAX_OBJECTS} already`);
    const at = this.#float64[header.endsAt] ?? 0;
    const bytes = alignTo(spec.bytes, PAGE_BYTES);
    if (fstatSync(this.descriptor).size < at + bytes) ftruncateSync(this.descriptor, at + bytes);
    this.#describe(index, spec, at);
    const made = this.#object(index);
    spec.initialise?.(made.memory);
    this.#float64[header.endsAt] = at + bytes;
    Atomics.store(this.#int32, header.objects, index + 1);
    return made;
  }

  #describe(index: number, { kind, name, schema, bytes }: ObjectSpec, at: number): void {
    const ints = this.#entryAt(index) / 4;
    this.#int32[ints + entry.at.kind] = kinds.indexOf(kind);
    this.#int32[ints + entry.at.nameBytes] = this.#bytes.write(name, this.#textAt(index));
    this.#int32[ints + entry.at.schemaBytes] = this.#bytes.write(clip(schema), this.#textAt(index) + MAX_NAME_BYTES);
    this.#float64[this.#entryAt(index) / 8 + entry.at.at] = at;
    this.#float64[this.#entryAt(index) / 8 + entry.at.bytes] = bytes;
  }

  #object(index: number): SharedObject {
    const known = this.#attached.get(index);
    if (known !== undefined) return known;
    const floats = this.#entryAt(index) / 8;
    const made: SharedObject = {
      kind: kinds[this.#int(index, entry.at.kind)] ?? kinds[0],
      name: this.#nameOf(index),
      schema: this.#schemaOf(index),
      memory: mapShared(
        this.descriptor,
        this.#float64[floats + entry.at.at] ?? 0,
        this.#float64[floats + entry.at.bytes] ?? 0,
      ),
      owners: this.owners,
    };
    this.#attached.set(index, made);
    return made;
  }

  #nameOf(index: number): string {
    const at = this.#textAt(index);
    return this.#bytes.toString('utf8', at, at + this.#int(index, entry.at.nameBytes));
  }

  #schemaOf(index: number): string {
    const at = this.#textAt(index) + MAX_NAME_BYTES;
    return this.#bytes.toString('utf8', at, at + this.#int(index, entry.at.schemaBytes));
  }

  #int(index: number, field: number): number {
    return this.#int32[this.#entryAt(index) / 4 + field] ?? 0;
  }

  #entryAt(index: number): number {
    return DIRECTORY_AT + index * ENTRY_BYTES;
  }

  #textAt(index: number): number {
    return this.#entryAt(index) + entry.usedBytes;
  }
}

function alignTo(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** A schema that finds no room is compared by its beginning. */
function clip(schema: string): string {
  const bytes = Buffer.from(schema);
  return bytes.length <= MAX_SCHEMA_BYTES ? schema : `${bytes.toString('latin1', 0, MAX_SCHEMA_BYTES - 3)}...`;
}

function tooMuch({ kind, name }: ObjectSpec, why: string): ServerError {
  return new ServerError('ERR_SHARED_LIMIT', { kind, name, why });
}
