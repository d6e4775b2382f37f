/** Values that `node:v8` writes, and does not read again. */
interface Wasm {
  readonly Module: new (bytes: Uint8Array) => object;
}

/** Objects in each other, as a client's JSON may hold them. */
export const deep = (levels: number): unknown => JSON.parse(`${'{"o":'.repeat(levels)}1${'}'.repeat(levels)}`);

export const wasmModule = (): object =>
  new (globalThis as unknown as { readonly WebAssembly: Wasm }).WebAssembly.Module(
    Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0),
  );
