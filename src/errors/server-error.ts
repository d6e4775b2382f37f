import { type ErrorCode, type ErrorDetails, messageOf } from './table.js';

/**
 * Every error that tswoole throws. Test `code`, never the message.
 *
 * @example
 * try { await server.start(); } catch (error) {
 *   if (error instanceof ServerError && error.is('ERR_PORT_IN_USE')) console.error(error.detail.port);
 * }
 */
export class ServerError<C extends ErrorCode = ErrorCode> extends Error {
  /** What happened; docs/errors.md lists all codes. */
  readonly code: C;
  /** The facts behind the message; docs/errors.md lists the fields of each code. */
  readonly detail: ErrorDetails[C];

  static {
    // On the prototype, so that it also appears in the first line of a stack.
    Object.defineProperty(ServerError.prototype, 'name', { value: 'ServerError', configurable: true, writable: true });
  }

  constructor(code: C, detail: ErrorDetails[C], options?: { cause?: unknown }) {
    super(messageOf(code, detail), options);
    this.code = code;
    this.detail = detail;
  }

  /** Narrows `detail` to the type of that code. */
  is<K extends ErrorCode>(code: K): this is ServerError<K> {
    return (this.code as ErrorCode) === code;
  }
}
