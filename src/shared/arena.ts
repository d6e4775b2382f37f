/**
 * The memory of the user's shared objects: an anonymous file per server, and files of the user's. Every process maps the
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
import { fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { crc32 } from 'node:zlib';
import { ServerError, told } from '../errors/index.js';
import { float64, int32, layoutRecord } from '../memory/record.js';
import { createSharedFile, mapShared, PAGE_BYTES } from '../os/memory.js';
import { alignTo } from '../util/align.js';
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

/** Of all that lies in an arena; another one cannot be read here. */
const LAYOUT = 1;

const header = layoutRecord(
  { magic: int32(), layout: int32(), lock: int32(), objects: int32(), space: int32(), endsAt: float64() },
  HEADER_BYTES,
).at;
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

/** Makes the file at least so long. */
export type Grow = (descriptor: number, bytes: number) => void;

const lengthen: Grow = (descriptor, bytes) => {
  if (fstatSync(descriptor).size < bytes) ftruncateSync(descriptor, bytes);
};

export class Arena {
  readonly descriptor: number;
  readonly owners: Owners;
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #bytes: Buffer;
  readonly #lock: OwnedLock;
  readonly #attached = new Map<number, SharedObject>();

  readonly #grow: Grow;

  private constructor(descriptor: number, parts: OwnersParts, grow: Grow) {
    const memory = mapShared(descriptor, 0, FIRST_OBJECT_AT);
    this.descriptor = descriptor;
    this.#grow = grow;
    this.#int32 = new Int32Array(memory);
    this.#float64 = new Float64Array(memory);
    this.#bytes = Buffer.from(memory);
    this.owners = new Owners(memory, HEADER_BYTES, parts);
    this.#lock = new OwnedLock(this.#int32, this.owners, PATIENCE_MS);
  }

  static create(parts: OwnersParts = {}): Arena {
    return Arena.found(createSharedFile('tswoole-shared', 0), parts);
  }

  /** In an empty file. The header is written at once, so that a process that dies here leaves an empty file, or an arena. */
  static found(descriptor: number, parts: OwnersParts = {}, grow = lengthen): Arena {
    const page = Buffer.alloc(HEADER_BYTES);
    page.writeInt32LE(MAGIC_VALUE, header.magic * 4);
    page.writeInt32LE(LAYOUT, header.layout * 4);
    page.writeDoubleLE(FIRST_OBJECT_AT, header.endsAt * 8);
    writeSync(descriptor, page, 0, HEADER_BYTES, 0);
    grow(descriptor, FIRST_OBJECT_AT);
    return new Arena(descriptor, parts, grow);
  }

  /**
   * @param descriptor inherited, or, in another thread, the same number
   * @throws Error that says what else the file holds
   */
  static open(descriptor: number, parts: OwnersParts = {}, grow = lengthen): Arena {
    const page = Buffer.alloc(HEADER_BYTES);
    readSync(descriptor, page, 0, HEADER_BYTES, 0);
    if (page.readInt32LE(header.magic * 4) !== MAGIC_VALUE) throw new Error('it holds no shared objects');
    const layout = page.readInt32LE(header.layout * 4);
    if (layout !== LAYOUT) throw new Error(`it is laid out by another version (layout ${layout}, here ${LAYOUT})`);
    if (page.readInt32LE(header.objects * 4) === 0) grow(descriptor, FIRST_OBJECT_AT);
    checkLength(descriptor, FIRST_OBJECT_AT);
    return new Arena(descriptor, parts, grow);
  }

  /** Which space of pids its owners are of: 0 is none. */
  get space(): number {
    return Atomics.load(this.#int32, header.space);
  }

  /** No other process has it open: whatever its owners have held is nobody's. */
  beginRun(space: number): void {
    this.owners.reset();
    Atomics.store(this.#int32, header.space, space);
  }

  /**
   * Finds the object, or makes it.
   * @throws ServerError ERR_SHARED_SCHEMA another one has its kind and name; ERR_SHARED_LIMIT too many, or too large;
   *   ERR_SHARED_NAME; ERR_SHARED_BUSY
   */
  attach(spec: ObjectSpec): SharedObject {
    if (!isName(spec.name)) throw told(new ServerError('ERR_SHARED_NAME', { received: spec.name }));
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
    if (there !== clip(schema))
      throw told(new ServerError('ERR_SHARED_SCHEMA', { kind, name, there, declared: schema }));
    return this.#object(index);
  }

  /** The count comes last: a process that dies before, or throws, leaves nothing that others see, and its memory unused. */
  #make(spec: ObjectSpec): SharedObject {
    const index = this.#count;
    if (index >= MAX_OBJECTS) throw tooMuch(spec, `there are ${MAX_OBJECTS} already`);
    const at = this.#float64[header.endsAt] ?? 0;
    const bytes = alignTo(spec.bytes, PAGE_BYTES);
    this.#grow(this.descriptor, at + bytes);
    this.#float64[header.endsAt] = at + bytes;
    this.#describe(index, spec, at);
    const made = this.#map(index);
    spec.initialise?.(made.memory);
    Atomics.store(this.#int32, header.objects, index + 1);
    this.#attached.set(index, made);
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
    const mapped = this.#map(index);
    this.#attached.set(index, mapped);
    return mapped;
  }

  #map(index: number): SharedObject {
    const floats = this.#entryAt(index) / 8;
    const kind = kinds[this.#int(index, entry.at.kind)];
    if (kind === undefined) throw new Error(`the shared object "${this.#nameOf(index)}" is of a kind unknown here`);
    const at = this.#float64[floats + entry.at.at] ?? 0;
    const bytes = this.#float64[floats + entry.at.bytes] ?? 0;
    checkLength(this.descriptor, at + bytes);
    const memory = mapShared(this.descriptor, at, bytes);
    return { kind, name: this.#nameOf(index), schema: this.#schemaOf(index), memory, owners: this.owners };
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

/** Whoever touches a mapped page behind the end of its file is ended by the kernel (SIGBUS). */
function checkLength(descriptor: number, bytes: number): void {
  const { size } = fstatSync(descriptor);
  if (size < bytes) throw new Error(`it is cut off: it has ${size} of ${bytes} bytes`);
}

/** Half a surrogate pair has no form in UTF-8: it would be stored as another name. */
function isName(name: string): boolean {
  const bytes = Buffer.from(name);
  return bytes.length > 0 && bytes.length <= MAX_NAME_BYTES && bytes.toString() === name;
}

/** A schema that finds no room is stored as its beginning and its checksum. */
function clip(schema: string): string {
  const bytes = Buffer.from(schema);
  if (bytes.length <= MAX_SCHEMA_BYTES) return schema;
  const end = `… (checksum ${crc32(bytes)})`;
  return new StringDecoder('utf8').write(bytes.subarray(0, MAX_SCHEMA_BYTES - Buffer.byteLength(end))) + end;
}

function tooMuch({ kind, name }: ObjectSpec, why: string): ServerError {
  return told(new ServerError('ERR_SHARED_LIMIT', { kind, name, why }));
}
