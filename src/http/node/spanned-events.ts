/** The events by which Node's server calls an app, each in the span of its request. Runs in a worker. */
import type { Server } from 'node:http';
import type { RequestSpan } from '../request-span.js';

const EVENTS: ReadonlySet<unknown> = new Set(['request', 'checkContinue', 'checkExpectation', 'upgrade', 'connect']);

interface Request {
  readonly socket: object;
}

/**
 * Made with the first span. Bodies come from the socket, in no span: so listeners of request and response are bound to it,
 * as the instrumentation of Node's `http` binds them.
 */
export class SpannedEvents {
  constructor(server: Server, spanOf: (socket: object) => RequestSpan | undefined) {
    const emit = server.emit as (event: string | symbol, ...args: unknown[]) => boolean;
    const emitInSpan = (event: string | symbol, ...args: unknown[]): boolean => {
      const span = EVENTS.has(event) ? spanOf((args[0] as Request).socket) : undefined;
      if (span === undefined) return emit.call(server, event, ...args);
      for (const each of args.slice(0, 2)) span.bind(each as object);
      return span.run(() => emit.call(server, event, ...args));
    };
    Object.assign(server, { emit: emitInSpan });
  }
}
