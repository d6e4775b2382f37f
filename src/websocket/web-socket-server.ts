/** A WebSocket server: an `HttpServer` whose clients may also become WebSockets. */
import { deserialize } from 'node:v8';
import type { LocalRooms } from '../cluster/broker/rooms.js';
import { describe, ServerError, told } from '../errors/index.js';
import { HttpServer, type HttpServerOptions } from '../http/http-server.js';
import type { HttpRequest } from '../http/request.js';
import type { HttpResponse } from '../http/response.js';
import { Request } from '../ipc/frame.js';
import { packPublication } from '../ipc/frames/publish.js';
import type { Outbox } from '../ipc/outbox.js';
import { requestFrame } from '../ipc/request-frame.js';
import { ConnectionData } from '../memory/connection-data.js';
import { ConnectionTable, SlotFlag } from '../memory/connection-table.js';
import type { Region } from '../memory/region.js';
import { RoomBoard } from '../memory/room-board.js';
import { checkRoomName } from '../memory/room-name.js';
import { isPlainObject, refuse } from '../options/check.js';
import { isSendable } from '../protocol/websocket/close-codes.js';
import type { Connection } from '../server/connection.js';
import type { DatagramPeer } from '../server/datagrams.js';
import type { ProcessEvents } from '../server/events.js';
import { clonedBytes } from '../shared/cloned.js';
import type { HandshakeAnswer } from './handshake-answer.js';
import { MessageFrames } from './message-frames.js';
import { exceptOf, mayCompress, type PublishOptions, type PushOptions } from './publish-options.js';
import { ReceivedText } from './received-text.js';
import { RoomQuestions } from './room-questions.js';
import { type SocketHost, WebSocketConnection } from './web-socket-connection.js';
import { webSocketHalf } from './web-socket-half.js';

type Result = void | Promise<void> | unknown;

/** How a WebSocket has ended. */
export interface WebSocketClose {
  /** RFC 6455 7.4: 1000 for a usual end, 1005 where the client gave none, 1006 where it left without a Close frame. */
  readonly code: number;
  /** What the Close frame said; mostly empty. */
  readonly reason: string;
  /** The client, the server, or the rule of the server that ended it. */
  readonly initiator: 'client' | 'server' | 'timeout' | 'limit' | 'error';
}

/** Events of a `WebSocketServer`; all others are those of `Server`. */
export interface WebSocketEvents<Data = unknown> extends ProcessEvents {
  /** Worker: a client has connected; most ask for nothing yet. Swoole: onConnect */
  connect(conn: WebSocketConnection<Data>): Result;
  /** Worker: one whole packet, of a port with `protocol: 'raw'`. Swoole: onReceive */
  receive(conn: Connection, data: Buffer): Result;
  /** Worker: one datagram, of a port of type 'udp' or 'unix-dgram'. Swoole: onPacket */
  packet(data: Buffer, peer: DatagramPeer): Result;
  /** Worker: a client wants to become a WebSocket: see `accept` and `reject`. Without it every client is accepted. Swoole: onHandshake */
  handshake(req: HttpRequest): HandshakeAnswer<Data> | Promise<HandshakeAnswer<Data>>;
  /** Worker: the client is a WebSocket. Swoole: onOpen */
  open(conn: WebSocketConnection<Data>, req: HttpRequest): Result;
  /** Worker: one whole message: a text as a string, bytes as a Buffer of the callback's own. Swoole: onMessage */
  message(conn: WebSocketConnection<Data>, data: string | Buffer): Result;
  /** Worker: once per WebSocket. Swoole: onClose */
  close(conn: WebSocketConnection<Data>, close: WebSocketClose): Result;
  /** Worker: one request over HTTP that is no WebSocket's. */
  request(request: HttpRequest, response: HttpResponse): Result;
  /** Worker: at least `highWatermark` bytes wait to be sent: the client does not keep up. */
  bufferFull(conn: WebSocketConnection<Data>): Result;
  /** Worker: after `bufferFull`, at most `lowWatermark` bytes wait. */
  bufferEmpty(conn: WebSocketConnection<Data>): Result;
}

/** The options of `new WebSocketServer()`: those of an `HttpServer`. */
export type WebSocketServerOptions = HttpServerOptions;

/** What this process needs once it runs. */
interface Running {
  readonly outbox: Outbox;
  readonly region: Region;
  readonly table: ConnectionTable;
  readonly frames: MessageFrames;
  readonly rooms: RoomBoard;
  readonly data: ConnectionData;
}

const MOST_CONTROL_BYTES = 125;
const MOST_REASON_BYTES = 123;

/**
 * @example
 * const server = new WebSocketServer<{ name: string }>({ port: 8080 });
 * server.on('open', (conn) => conn.join('lobby'));
 * server.on('message', (conn, text) => server.publish('lobby', `${conn.data.name}: ${text}`));
 * await server.start();
 */
export class WebSocketServer<Data = unknown> extends HttpServer<WebSocketEvents<Data>> implements SocketHost {
  readonly #questions: RoomQuestions;
  readonly #received: ReceivedText;
  #running: Running | undefined;

  /** @throws ServerError ERR_OPTION_*, ERR_ONE_SERVER */
  constructor(options: WebSocketServerOptions = {}) {
    const questions = new RoomQuestions();
    const received = new ReceivedText();
    const publish = (room: string, text: string): void => this.#mustPublish(room, text);
    checkShape(options);
    super({ protocol: 'websocket', ...options }, (apps) => webSocketHalf(apps, { questions, received, publish }));
    this.#questions = questions;
    this.#received = received;
  }

  // ——— messages ———

  /**
   * Sends a message to a WebSocket, from any process: a string as text, bytes as binary. Swoole: push()
   * @returns false, and `lastError` says why: as `send`; ERR_NOT_WEBSOCKET @throws ServerError ERR_DATA_TYPE, ERR_OPTION_TYPE,
   * ERR_OPTION_UNKNOWN
   */
  push(fd: number, data: string | Uint8Array, options?: PushOptions): boolean {
    checkData(data);
    const compress = mayCompress(options);
    const { table, frames, outbox } = this.#mustRun('push');
    // The outbox sees by itself whether the session is open.
    const isSocket = isSessionId(fd) && table.hasFlag(table.slotOf(fd), SlotFlag.webSocket);
    if (!isSocket) return this.#ask('push', fd, () => this.push(fd, data, options));
    const deflated = compress && this.#compresses(data) && table.hasFlag(table.slotOf(fd), SlotFlag.deflate);
    return frames.push(fd, data, deflated) || this.#refuse(outbox.lastError);
  }

  /** The same as `push` where the connection is a WebSocket. */
  override send(fd: number, data: string | Uint8Array): boolean;
  override send(address: string, data: string | Uint8Array): Promise<boolean>;
  override send(to: number | string, data: string | Uint8Array): boolean | Promise<boolean>;
  override send(to: number | string, data: string | Uint8Array): boolean | Promise<boolean> {
    return typeof to === 'number' && this.isEstablished(to) ? this.push(to, data) : super.send(to, data);
  }

  /** Sends a Ping frame. @param data at most 125 bytes @returns false, and `lastError` says why @throws ServerError ERR_PING_LENGTH, ERR_DATA_TYPE */
  ping(fd: number, data: string | Uint8Array = ''): boolean {
    checkData(data);
    const payload = Buffer.from(data as Uint8Array);
    if (payload.length > MOST_CONTROL_BYTES) throw new ServerError('ERR_PING_LENGTH', { bytes: payload.length });
    return this.#ask('ping', fd, ({ outbox }) => outbox.request(requestFrame(Request.ping, fd, 0, 0, payload)));
  }

  /** Ends a WebSocket by a Close frame, from any process. Swoole: disconnect() @throws ServerError ERR_CLOSE_CODE */
  disconnect(fd: number, code = 1000, reason = ''): boolean {
    if (!isSendable(code) || typeof reason !== 'string') {
      throw new ServerError('ERR_CLOSE_CODE', { received: `${describe(code)}, ${describe(reason)}` });
    }
    return this.#ask('disconnect', fd, ({ outbox, table }) => {
      const payload = cutUtf8(Buffer.from(reason), MOST_REASON_BYTES);
      const asked = outbox.request(requestFrame(Request.disconnect, fd, 0, code, payload));
      if (asked) table.markClosedByServer(fd);
      return asked;
    });
  }

  /** True while the connection is a WebSocket that can be sent to. Swoole: isEstablished() */
  isEstablished(fd: number): boolean {
    const { table } = this.#here ?? {};
    if (table === undefined || !isSessionId(fd)) return false;
    return table.isOpen(fd) && table.hasFlag(table.slotOf(fd), SlotFlag.webSocket);
  }

  // ——— rooms ———

  /** From here on it gets what is published to the room; from any process. @throws ServerError ERR_ROOM_NAME, ERR_ROOM_LIMIT */
  join(fd: number, room: string): boolean {
    checkRoomName(room);
    return this.#ask('join', fd, ({ outbox, rooms }) => {
      if (rooms.isFull && rooms.size(room) === 0) {
        throw new ServerError('ERR_ROOM_LIMIT', { room, maxRooms: this.options.maxRooms });
      }
      return outbox.rooms.join(fd, room);
    });
  }

  /** @param room missing: all rooms @returns false, and `lastError` says why @throws ServerError ERR_ROOM_NAME */
  leave(fd: number, room?: string): boolean {
    if (room !== undefined) checkRoomName(room);
    return this.#ask('leave', fd, ({ outbox }) => outbox.rooms.leave(fd, room ?? ''));
  }

  /**
   * Sends a message to all members of a room, from any process; of one process each member gets all in order.
   * With the option `cluster` members on other nodes get it, too.
   * @returns false, and `lastError` says why: ERR_ROOM_BUFFER_FULL, it was not taken; ERR_MESSAGE_QUEUE_FULL, other nodes do not
   * get it @throws ServerError ERR_ROOM_NAME,
   * ERR_DATA_TYPE, ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN, ERR_CLUSTER_PAYLOAD (more bytes than the cluster's engine takes: nobody
   * gets it)
   */
  publish(room: string, data: string | Uint8Array, options?: PublishOptions): boolean {
    this.otherNodes?.checkRoomMessage(data);
    if (!this.#publishHere(room, data, options)) return false;
    try {
      this.otherNodes?.toRoom(room, data);
      return true;
    } catch (error) {
      return this.#refuse(error as ServerError);
    }
  }

  /** @internal */
  protected override get localRooms(): LocalRooms {
    const { rooms } = this.#mustRun('rooms');
    return {
      publish: (room, data) => this.#publishHere(room, data),
      size: (room) => rooms.size(room),
      list: () => rooms.list(),
    };
  }

  #publishHere(room: string, data: string | Uint8Array, options?: PublishOptions): boolean {
    checkRoomName(room);
    checkData(data);
    const except = exceptOf(options);
    const { outbox, frames } = this.#mustRun('publish');
    const deflated = options?.compress !== false && this.#compresses(data) ? frames.deflate(data) : null;
    const isText = typeof data === 'string';
    return (
      outbox.rooms.publish(packPublication({ room, plain: frames.plain(data), deflated, except, isText })) ||
      this.#refuse(outbox.lastError)
    );
  }

  #mustPublish(room: string, text: string): void {
    if (!this.publish(room, text)) throw this.lastError;
  }

  /** How many members a room has, over all workers. */
  roomSize(room: string): number {
    checkRoomName(room);
    return this.#mustRun('roomSize').rooms.size(room);
  }

  /**
   * The session ids of a room's members, over all workers, in no order. Called in a worker.
   * @throws ServerError ERR_ROOM_NAME, ERR_ROOM_QUESTION, ERR_ROOM_BUFFER_FULL (rejects)
   */
  async members(room: string): Promise<number[]> {
    checkRoomName(room);
    return this.#questions.members(this.#mustRun('members').outbox, room);
  }

  /** The rooms of one WebSocket. Called in a worker. Rejects with ERR_ROOM_QUESTION, ERR_ROOM_BUFFER_FULL */
  async roomsOf(fd: number): Promise<string[]> {
    return isSessionId(fd) ? this.#questions.roomsOf(this.#mustRun('roomsOf').outbox, fd) : [];
  }

  /** The rooms that have members. */
  get rooms(): { name: string; members: number }[] {
    return this.#here?.rooms.list() ?? [];
  }

  // ——— what a connection asks ———

  /** @internal */
  readData(fd: number): unknown {
    const bytes = this.#here?.data.read(fd);
    return bytes === undefined ? undefined : deserialize(bytes);
  }

  /** @internal @throws ServerError ERR_CONNECTION_DATA */
  writeData(fd: number, value: unknown): void {
    const { data, table } = this.#mustRun('data');
    if (!table.isKnown(fd)) return;
    if (value === undefined) return data.clear(fd);
    const bytes = cloned(value);
    if (!data.write(fd, bytes)) throw new ServerError('ERR_CONNECTION_DATA', { why: `it takes ${bytes.length} bytes` });
  }

  /** @internal */
  bufferedAmount(fd: number): number {
    const { table, outbox } = this.#mustRun('bufferedAmount');
    return table.isOpen(fd) ? table.sendQueued(table.slotOf(fd)) + outbox.heldBytesOf(fd) : 0;
  }

  /** @internal On another port (`listen({ protocol: 'raw' })`) it is a connection as any server has it. */
  protected override createConnection(fd: number): Connection {
    const { table } = this.clients;
    const { protocol } = this.ports[table?.portIndex(table.slotOf(fd)) ?? 0]?.settings ?? {};
    return protocol === 'websocket' ? new WebSocketConnection<Data>(fd, this) : super.createConnection(fd);
  }

  #compresses(data: string | Uint8Array): boolean {
    const { websocketCompression } = this.options;
    return websocketCompression !== null && data.length >= websocketCompression.threshold;
  }

  #ask(method: string, fd: number, call: (running: Running) => boolean): boolean {
    const running = this.#mustRun(method);
    if (!this.clients.withSlot(method, fd, () => true)) return false;
    if (!this.isEstablished(fd)) return this.#refuse(new ServerError('ERR_NOT_WEBSOCKET', { fd }));
    return call(running) || this.#refuse(running.outbox.lastError);
  }

  #refuse(error: ServerError | undefined): false {
    return error !== undefined && this.clients.refuse(error);
  }

  /** Undefined before the start. */
  get #here(): Running | undefined {
    return this.clients.table === undefined ? undefined : this.#mustRun('');
  }

  #mustRun(method: string): Running {
    if (this.#running !== undefined) return this.#running;
    const { outbox, region } = this.runtimeFor(method);
    const running = {
      ...{ outbox, region, table: new ConnectionTable(region), frames: new MessageFrames(outbox, this.#received) },
      ...{ rooms: new RoomBoard(region), data: new ConnectionData(region) },
    };
    this.#running = running;
    return running;
  }
}

function isSessionId(fd: number): boolean {
  return Number.isSafeInteger(fd) && fd > 0;
}

function checkData(data: unknown): void {
  if (typeof data !== 'string' && !(data instanceof Uint8Array)) {
    throw new ServerError('ERR_DATA_TYPE', { received: describe(data) });
  }
}

function cloned(value: unknown): Buffer {
  try {
    return clonedBytes(value);
  } catch (error) {
    const { why } = (error as ServerError<'ERR_DATA_NOT_CLONEABLE'>).detail;
    throw new ServerError('ERR_CONNECTION_DATA', { why: why.replace(/\.$/, '') });
  }
}

/** Elsewhere `path` is that of the requests; here it would take the place of host and port. */
function checkShape(options: WebSocketServerOptions): void {
  const expected = 'an object with options by name';
  if (!isPlainObject(options)) refuse('ERR_OPTION_TYPE', 'options', expected, options);
  const { path = '', port } = options;
  if (port === undefined || path === '') return;
  const why = 'path is that of a unix socket, in place of a port; the path of requests is "websocketPath"';
  throw told(new ServerError('ERR_OPTION_CONFLICT', { name: 'path', other: 'port', why }));
}

/** At the border of a character. */
function cutUtf8(bytes: Buffer, most: number): Buffer {
  let end = Math.min(bytes.length, most);
  while (end < bytes.length && end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

declare module '../server/listen-port.js' {
  interface PortEvents {
    /** Worker, of a `WebSocketServer`: a client wants to become a WebSocket. Swoole: onHandshake */
    handshake(req: HttpRequest): HandshakeAnswer | Promise<HandshakeAnswer>;
    /** Worker, of a `WebSocketServer`: the client is a WebSocket. Swoole: onOpen */
    open(conn: WebSocketConnection, req: HttpRequest): Result;
    /** Worker, of a `WebSocketServer`: one whole message. Swoole: onMessage */
    message(conn: WebSocketConnection, data: string | Buffer): Result;
  }
}
