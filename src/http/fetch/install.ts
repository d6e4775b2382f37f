import { noteFetched } from './fetched.js';
import { LightRequest } from './light-request.js';
import { LightResponse } from './light-response.js';
import { NativeRequest, nativeFetch, standFor } from './natives.js';

type RequestArgs = ConstructorParameters<typeof NativeRequest>;

/** Node's own `Request`, which takes a light one too: it looks into its argument behind the properties. */
class RequestOfAny extends NativeRequest {
  constructor(input: RequestArgs[0], init?: RequestArgs[1]) {
    super(ofNode(input), init);
  }
}
standFor(RequestOfAny, NativeRequest);
Object.defineProperty(RequestOfAny, 'name', { value: 'Request' });

let isInstalled = false;

/** Puts the light `Response`, and a `Request` and `fetch` that know light requests, in place of Node's; once per process. */
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
