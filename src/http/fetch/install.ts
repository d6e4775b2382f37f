import { LightRequest } from './light-request.js';
import { LightResponse } from './light-response.js';
import { NativeRequest, nativeFetch } from './natives.js';

type RequestArgs = ConstructorParameters<typeof NativeRequest>;

/** Node's own `Request`, which takes a light one too: it looks into its argument behind the properties. */
class RequestOfAny extends NativeRequest {
  constructor(input: RequestArgs[0], init?: RequestArgs[1]) {
    super(ofNode(input), init);
  }

  static override [Symbol.hasInstance](this: unknown, value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: subclasses inherit this, and ask for themselves
    if (this === RequestOfAny) return value instanceof NativeRequest;
    // biome-ignore lint/complexity/noThisInStatic: as above
    return Function.prototype[Symbol.hasInstance].call(this as () => void, value);
  }
}
Object.defineProperty(RequestOfAny, 'name', { value: 'Request' });

let isInstalled = false;

/** Puts the light `Response`, and a `Request` and `fetch` that know light requests, in place of Node's; once per process. */
export function installLight(): void {
  if (isInstalled) return;
  isInstalled = true;
  replace('Response', LightResponse);
  replace('Request', RequestOfAny);
  replace('fetch', (input: Parameters<typeof nativeFetch>[0], init?: Parameters<typeof nativeFetch>[1]) =>
    nativeFetch(ofNode(input), init),
  );
}

function ofNode<T>(input: T): T {
  return LightRequest.is(input) ? (LightRequest.native(input) as T) : input;
}

function replace(name: 'Response' | 'Request' | 'fetch', value: unknown): void {
  Object.defineProperty(globalThis, name, { configurable: true, enumerable: false, writable: true, value });
}
