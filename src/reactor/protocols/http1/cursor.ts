import type { RequestHead } from '../../../protocol/http/head.js';
import type { Connection } from '../../connection.js';
import type { HttpState } from './http-state.js';

const nothing = Buffer.alloc(0);

/** Position of a port's reading in the bytes of one connection. One per port, reused: no object per request. */
export class Cursor {
  connection!: Connection;
  http!: HttpState;
  bytes: Buffer = nothing;
  /** Of the next byte to be taken. */
  at = 0;
  /** Behind the last byte received. */
  to = 0;
  /** The head that the bytes at `at` begin with, once parsed. */
  readonly head: RequestHead;
  headBytes = 0;

  constructor(head: RequestHead) {
    this.head = head;
  }

  /** @param http the state of the connection */
  begin(connection: Connection, http: HttpState, bytes: Buffer, at: number, to: number): void {
    this.connection = connection;
    this.http = http;
    this.bytes = bytes;
    this.at = at;
    this.to = to;
    this.headBytes = 0;
  }

  /** Bytes received and not taken. */
  get length(): number {
    return this.to - this.at;
  }
}
