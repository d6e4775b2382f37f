/** The classes of Node itself, whatever later replaces them under their global names. */
export const NativeRequest = globalThis.Request;
export const NativeResponse = globalThis.Response;
export const nativeFetch = globalThis.fetch;

/**
 * Makes `instanceof` hold for Node's own objects too, such as an answer of its `fetch`; a subclass checks for itself.
 */
export function standFor(standIn: object, native: typeof NativeRequest | typeof NativeResponse): void {
  Object.defineProperty(standIn, Symbol.hasInstance, {
    value(this: () => void, value: unknown): boolean {
      return this === standIn ? value instanceof native : Function.prototype[Symbol.hasInstance].call(this, value);
    },
  });
}

/** The error for a body's methods after it was used, in the words of the Fetch standard. */
export function unusable(): TypeError {
  return new TypeError('Body is unusable: Body has already been read');
}
