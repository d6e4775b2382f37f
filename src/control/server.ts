/** The control socket: takes commands from this user's programs. Runs in the master's main thread. */
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { ServerError, serializeError } from '../errors/index.js';
import { peerUid } from '../os/peer.js';
import type { Log } from '../util/log.js';
import { within } from '../util/within.js';
import type { CommandTable } from './commands.js';
import { type ControlReply, idOf, LIMIT_REQUEST_BYTES, lineReader, parseRequest } from './protocol.js';
import { restrict } from './run-dir.js';

const LIMIT_CONNECTIONS = 64;
/** At the end of the server, answers get this time to leave. */
const LINGER_MS = 200;

export class ControlServer {
  readonly #commands: CommandTable;
  readonly #log: Log;
  readonly #server: NetServer;
  readonly #sockets = new Set<Socket>();

  constructor(commands: CommandTable, log: Log) {
    this.#commands = commands;
    this.#log = log;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = LIMIT_CONNECTIONS;
  }

  /** @throws an Error with `code` when the socket cannot be created */
  async listen(path: string): Promise<void> {
    const before = process.umask(0o177); // no other user may connect, even in the moment before chmod
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(path, () => resolve());
      });
    } finally {
      process.umask(before);
    }
    restrict(path);
    this.#server.on('error', (error) => this.#log.warn('the control socket failed', { error }));
    this.#server.unref();
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.end();
    if (this.#sockets.size === 0) return;
    const gone = Promise.all(
      [...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve))),
    );
    await within(gone, LINGER_MS);
  }

  #accept(socket: Socket): void {
    const uid = peerUid(descriptorOf(socket));
    if (uid === undefined) return void socket.destroy();
    if (uid !== 0 && uid !== process.getuid?.()) return this.#turnAway(socket, uid);
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setEncoding('utf8');
    const read = lineReader((line) => void this.#take(socket, line), LIMIT_REQUEST_BYTES);
    socket.on('data', (piece: string) => {
      try {
        read(piece);
      } catch (error) {
        socket.end(encode({ id: 0, error: serializeError(error) }));
        socket.removeAllListeners('data');
      }
    });
  }

  #turnAway(socket: Socket, uid: number): void {
    this.#log.warn('another user has connected to the control socket', { uid });
    socket.on('error', () => {});
    socket.end(encode({ id: 0, error: serializeError(new ServerError('ERR_CONTROL_PEER', { uid })) }));
  }

  async #take(socket: Socket, line: string): Promise<void> {
    try {
      const request = parseRequest(line);
      const result = await this.#commands.run(request.command, request.arguments);
      answer(socket, { id: request.id, result: result ?? null });
    } catch (error) {
      answer(socket, { id: idOf(line), error: serializeError(error) });
    }
  }
}

function answer(socket: Socket, reply: ControlReply): void {
  if (socket.writable) socket.write(encode(reply));
}

function encode(reply: ControlReply): string {
  return `${JSON.stringify(reply)}\n`;
}

/** Node has no public name for it. */
function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } })._handle?.fd ?? -1;
}
