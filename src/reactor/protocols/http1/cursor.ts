import type { RequestHead } from '../../../protocol/http/head.js';
import type { Connection } from '../../connection.js';
import type { HttpState } from './http-state.js';

const nothing = Buffer.alloc(0);

/** Where a port's reading stands in the bytes of one connection. One per port, used again: no object per request. */
export class Cursor {
  connection!: Connection;
  http!: HttpState;
  bytes: Buffer = nothing;
  /** Of the next byte to be taken. */
  at = 0;
  /** Behind the last byte that has come. */
  to = 0;
  /** What the bytes at `at` begin with, once that is parsed. */
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

  /** Bytes that have come and were not taken. */
  get length(): number {
    return this.to - this.at;
  }
}
