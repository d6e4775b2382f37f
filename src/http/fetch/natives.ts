/** The classes of Node itself, whatever stands under their global names later. */
export const NativeRequest = globalThis.Request;
export const NativeResponse = globalThis.Response;
export const nativeFetch = globalThis.fetch;

/** What a body's methods may be asked for, in the words of the Fetch standard. */
export function unusable(): TypeError {
  return new TypeError('Body is unusable: Body has already been read');
}
