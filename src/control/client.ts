/** Sends commands to a server over its control socket. Runs in the command line, and in any other program. */
import { connect, type Socket } from 'node:net';
import { deserializeError, ServerError } from '../errors/index.js';
import { type Deferred, deferred } from '../util/deferred.js';
import { type ControlReply, LIMIT_ANSWER_BYTES, lineReader } from './protocol.js';

const CONNECT_TIMEOUT_MS = 3000;
export const CALL_TIMEOUT_MS = 10_000;

export class ControlClient {
  readonly #socket: Socket;
  readonly #calls = new Map<number, Deferred<unknown>>();
  #lastId = 0;
  /** Resolves when the server has closed the connection, at its end. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    const read = lineReader((line) => this.#take(JSON.parse(line) as ControlReply), LIMIT_ANSWER_BYTES);
    socket.on('data', (piece: string) => {
      try {
        read(piece);
      } catch (error) {
        this.#fail(new Error(`its answer cannot be read: ${(error as Error).message}`));
        socket.destroy();
      }
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#fail(new Error('the server has ended'));
        resolve();
      });
    });
    socket.on('error', () => socket.destroy());
  }

  /** @throws an Error with `code` ENOENT or ECONNREFUSED when no server listens */
  static connect(path: string): Promise<ControlClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      const late = setTimeout(() => socket.destroy(new Error(`${path} does not answer`)), CONNECT_TIMEOUT_MS);
      const failed = (error: Error): void => {
        clearTimeout(late);
        reject(error);
      };
      socket.once('error', failed);
      socket.once('connect', () => {
        clearTimeout(late);
        socket.removeListener('error', failed);
        resolve(new ControlClient(socket));
      });
    });
  }

  /** @throws the server's error; ServerError ERR_COMMAND_TIMEOUT */
  async call(command: string, given: object = {}, timeoutMs = CALL_TIMEOUT_MS): Promise<unknown> {
    const id = ++this.#lastId;
    const call = deferred<unknown>();
    this.#calls.set(id, call);
    const late = setTimeout(
      () => call.reject(new ServerError('ERR_COMMAND_TIMEOUT', { name: command, timeoutMs })),
      timeoutMs,
    );
    this.#socket.write(`${JSON.stringify({ id, command, arguments: given })}\n`);
    try {
      return await call.promise;
    } finally {
      clearTimeout(late);
      this.#calls.delete(id);
    }
  }

  /** Calls without an answer fail: their timers would keep the process. */
  close(): void {
    this.#fail(new Error('the connection was closed before the answer came'));
    this.#socket.end();
    this.#socket.unref();
  }

  #fail(why: Error): void {
    for (const call of this.#calls.values()) call.reject(why);
  }

  #take(reply: ControlReply): void {
    const waiting = reply.id === 0 ? [...this.#calls.values()] : [this.#calls.get(reply.id)];
    for (const call of waiting) {
      if ('error' in reply) call?.reject(deserializeError(reply.error));
      else call?.resolve(reply.result);
    }
  }
}
