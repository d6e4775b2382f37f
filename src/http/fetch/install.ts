import { noteFetched } from './fetched.js';
import { LightRequest } from './light-request.js';
import { LightResponse } from './light-response.js';
import { NativeRequest, nativeFetch, standFor } from './natives.js';

type RequestArgs = ConstructorParameters<typeof NativeRequest>;

/** Node's own `Request`, which accepts a light one too: Node reads its argument past the properties. */
class RequestOfAny extends NativeRequest {
  constructor(input: RequestArgs[0], init?: RequestArgs[1]) {
    super(ofNode(input), init);
  }
}
standFor(RequestOfAny, NativeRequest);
Object.defineProperty(RequestOfAny, 'name', { value: 'Request' });

let isInstalled = false;

/**
 * Replaces Node's `Response`, `Request` and `fetch` by the light `Response`, and versions that accept light
 * requests; once per process.
 */
export function installLight(): void {
  if (isInstalled) return;
  isInstalled = true;
  replace('Response', LightResponse);
  replace('Request', RequestOfAny);
  replace('fetch', (input: Parameters<typeof nativeFetch>[0], init?: Parameters<typeof nativeFetch>[1]) =>
    nativeFetch(ofNode(input), init).then(noteFetched),
  );
}

function ofNode<T>(input: T): T {
  return LightRequest.is(input) ? (LightRequest.native(input) as T) : input;
}

function replace(name: 'Response' | 'Request' | 'fetch', value: unknown): void {
  Object.defineProperty(globalThis, name, { configurable: true, enumerable: false, writable: true, value });
}
