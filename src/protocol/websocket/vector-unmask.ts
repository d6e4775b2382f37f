/**
 * A WebAssembly module that unmasks 64 bytes a step by its vector instructions, in a memory of its own. In text:
 *
 *     (func (export "unmask") (param $end i32) (param $key i32) (result i32)
 *       (local $at i32) (local $keys v128) (local $seen v128) (local $out v128)
 *       (local.set $keys (i32x4.splat (local.get $key)))
 *       (loop
 *         ;; four times, with the offsets 0, 16, 32 and 48
 *         (v128.store (local.get $at)
 *           (local.tee $out (v128.xor (v128.load (local.get $at)) (local.get $keys))))
 *         (local.set $seen (v128.or (local.get $seen) (local.get $out)))
 *         (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 64))) (local.get $end))))
 *       (i8x16.bitmask (local.get $seen)))
 */

/** Bytes that the module unmasks at a time. */
export const STEP_BYTES = 64;

export interface VectorUnmask {
  /** The module's memory: 64 KiB. */
  readonly memory: ArrayBuffer;
  /**
   * Unmasks the memory from 0 to `end`, a multiple of STEP_BYTES above 0.
   * @returns 0: all of it is ASCII
   */
  run(end: number, key: number): number;
}

/** What of WebAssembly is used: Node's types do not declare it. */
interface WebAssemblyLike {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: Record<string, unknown> };
}

/**
 * Compiles the module, which takes some milliseconds. Node reserves address space for its memory (10 GiB, of which 64 KiB
 * are used), as it does for its own `fetch`.
 * @returns undefined: there is no WebAssembly (`--jitless`), the processor lacks the instructions, or `ulimit -v` leaves no
 * address space
 */
export function loadVectorUnmask(): VectorUnmask | undefined {
  const { WebAssembly } = globalThis as { WebAssembly?: WebAssemblyLike };
  if (WebAssembly === undefined) return undefined;
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()));
    return {
      memory: (exports['memory'] as { buffer: ArrayBuffer }).buffer,
      run: exports['unmask'] as VectorUnmask['run'],
    };
  } catch {
    return undefined;
  }
}

const I32 = 0x7f;
const V128 = 0x7b;
/** Numbers of the locals. */
const END = 0;
const KEY = 1;
const AT = 2;
const KEYS = 3;
const SEEN = 4;
const OUT = 5;

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const tee = (local: number): number[] => [0x22, local];
const load = (offset: number): number[] => [0xfd, 0x00, 4, offset];
const store = (offset: number): number[] => [0xfd, 0x0b, 4, offset];
const SPLAT = [0xfd, 0x11];
const OR = [0xfd, 0x50];
const XOR = [0xfd, 0x51];
const BITMASK = [0xfd, 0x64];
const LOOP = [0x03, 0x40];
const ADD_64 = [0x41, 0xc0, 0x00, 0x6a];
const BR_IF_BELOW = [0x49, 0x0d, 0x00];
const END_OF_BLOCK = 0x0b;

/** One vector of a step. */
function vector(offset: number): number[] {
  const unmasked = [...get(AT), ...load(offset), ...get(KEYS), ...XOR, ...tee(OUT)];
  return [...get(AT), ...unmasked, ...store(offset), ...get(SEEN), ...get(OUT), ...OR, ...set(SEEN)];
}

function body(): number[] {
  const step = [0, 16, 32, 48].flatMap(vector);
  const again = [...get(AT), ...ADD_64, ...tee(AT), ...get(END), ...BR_IF_BELOW];
  const code = [...get(KEY), ...SPLAT, ...set(KEYS), ...LOOP, ...step, ...again, END_OF_BLOCK];
  const locals = [2, 1, I32, 3, V128];
  return [...locals, ...code, ...get(SEEN), ...BITMASK, END_OF_BLOCK];
}

/** A length of two bytes (LEB128): enough for the code. */
const sized = (bytes: readonly number[]): number[] => [(bytes.length & 0x7f) | 0x80, bytes.length >>> 7, ...bytes];
const section = (id: number, ...bytes: number[]): number[] => [id, ...sized(bytes)];
const named = (name: string): number[] => [name.length, ...Buffer.from(name, 'latin1')];

function moduleBytes(): Uint8Array {
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 2, I32, I32, 1, I32), // types: one, (i32, i32) → i32
    ...section(3, 1, 0), // functions: one of that type
    ...section(5, 1, 1, 1, 1), // memories: one, of one page, at most one
    ...section(7, 2, ...named('memory'), 2, 0, ...named('unmask'), 0, 0), // exports
    ...section(10, 1, ...sized(body())), // code
  ]);
}
