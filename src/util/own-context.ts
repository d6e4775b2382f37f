/**
 * Calls user code in an asynchronous context of its own. Callbacks are called from turns of the event loop that belong
 * to nobody, one behind the other: without this, what one sets by `AsyncLocalStorage.enterWith` the next would find,
 * for another client.
 */
import { AsyncResource } from 'node:async_hooks';

type Call<S, A extends unknown[], R> = (this: S, ...args: A) => R;

/** Nothing is set in it later: the contexts of calls are made in it. */
let context = new AsyncResource('TSWOOLE');

/** From now on calls see what is set here, as those of Node's servers see what was set where they were made to listen. */
export function inheritContext(): void {
  context = new AsyncResource('TSWOOLE');
}

/** @returns what the call returns; what it throws goes on */
export function inOwnContext<S, A extends unknown[], R>(call: Call<S, A, R>, self: S, ...args: A): R {
  return context.runInAsyncScope(runInNew<S, A, R>, undefined, call, self, args);
}

function runInNew<S, A extends unknown[], R>(call: Call<S, A, R>, self: S, args: A): R {
  return new AsyncResource('TSWOOLECALL').runInAsyncScope(call, self, ...args);
}
