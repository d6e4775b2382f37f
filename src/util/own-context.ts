/**
 * Calls user code in an asynchronous context of its own. Callbacks are called from turns of the event loop that belong
 * to nobody, one behind the other: without this, what one sets by `AsyncLocalStorage.enterWith` the next would find,
 * for another client.
 */
import { AsyncResource } from 'node:async_hooks';

type Ids = Record<symbol, number>;
type Call<S, A extends unknown[], R> = (this: S, ...args: A) => R;

/** Where Node keeps the ids of a resource. */
const idSymbols = Object.getOwnPropertySymbols(new AsyncResource('TSWOOLE')).filter(({ description }) =>
  ['async_id_symbol', 'trigger_async_id_symbol'].includes(`${description}`),
);
/** Missing in a Node that keeps them elsewhere: callbacks share one context there. */
const KNOWS_IDS = idSymbols.length === 2;

/** Nothing is set in it later: the contexts of calls are made in it. */
let context = withoutId('TSWOOLE');

/** From now on calls see what is set here, as those of Node's servers see what was set where they were made to listen. */
export function inheritContext(): void {
  context = withoutId('TSWOOLE');
}

/** @returns what the call returns; what it throws goes on */
export function inOwnContext<S, A extends unknown[], R>(call: Call<S, A, R>, self: S, ...args: A): R {
  if (!KNOWS_IDS) return call.apply(self, args);
  return context.runInAsyncScope(runInNew<S, A, R>, undefined, call, self, args);
}

function runInNew<S, A extends unknown[], R>(call: Call<S, A, R>, self: S, args: A): R {
  return withoutId('TSWOOLECALL').runInAsyncScope(call, self, ...args);
}

/**
 * Its id is 0, that of no callback, as around it: Node does not know that a turn of ours is a callback, and where one of its
 * own ends within it (a frame of HTTP/2), with hooks in use, it ends the process if another id is there.
 */
function withoutId(type: string): AsyncResource {
  const resource = new AsyncResource(type);
  for (const symbol of idSymbols) (resource as unknown as Ids)[symbol] = 0;
  return resource;
}
