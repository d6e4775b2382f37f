/**
 * Clients by session id, in any process: sends to them, closes them, marks them. A call that returns false was
 * refused, and `lastError` has the reason.
 */
import { describe, ServerError } from '../errors/index.js';
import type { Outbox } from '../ipc/outbox.js';
import { type ClientInfo, ConnectionTable, SlotFlag } from '../memory/connection-table.js';
import type { Region } from '../memory/region.js';
import { refuse } from '../options/check.js';
import { checkCallOptions } from './call-options.js';
import type { Runtime } from './context.js';
import { type FileRange, fileToSend } from './file-to-send.js';
import { checkHeartbeat, type HeartbeatOptions, silentConnections } from './heartbeat.js';
import type { ListenPort } from './listen-port.js';

const MAX_UID = 0x7fffffff;

export class Clients {
  /** Why the last call was refused. */
  lastError: ServerError | undefined;
  /** Undefined before the start. */
  table: ConnectionTable | undefined;
  readonly #runtime: (method: string) => Runtime;

  /** @param runtime of this process @throws ServerError ERR_NOT_STARTED */
  constructor(runtime: (method: string) => Runtime) {
    this.#runtime = runtime;
  }

  running(region: Region): void {
    this.table = new ConnectionTable(region);
  }

  /** Asks the reactor of a connection for an action. */
  ask(method: string, fd: number, call: (outbox: Outbox) => boolean): boolean {
    const { outbox } = this.#runtime(method);
    if (!isSessionId(fd)) return this.#refuseId(fd);
    if (call(outbox)) return true;
    this.lastError = outbox.lastError;
    return false;
  }

  sendFile(fd: number, path: string, range: FileRange): boolean {
    checkCallOptions(range, ['offset', 'length']);
    if (this.#isWebSocket(fd)) return this.refuse(new ServerError('ERR_IS_WEBSOCKET', { fd, method: 'sendFile' }));
    return this.ask('sendFile', fd, (outbox) => {
      try {
        const file = fileToSend(path, range);
        if ('bytes' in file) return file.bytes.length === 0 || outbox.send(fd, file.bytes);
        return file.length === 0 || outbox.sendFile(fd, file.path, file.offset, file.length);
      } catch (error) {
        if (error instanceof ServerError) outbox.lastError = error;
        return false;
      }
    });
  }

  /** @param call the action on the slot of an open connection */
  withSlot(method: string, fd: number, call: (table: ConnectionTable, slot: number) => boolean): boolean {
    this.#runtime(method);
    const { table } = this;
    if (!isSessionId(fd)) return this.#refuseId(fd);
    if (table?.isOpen(fd)) return call(table, table.slotOf(fd));
    const code = table?.isKnown(fd) ? 'ERR_SESSION_CLOSED' : 'ERR_SESSION_NOT_FOUND';
    return this.refuse(new ServerError(code, { fd }));
  }

  /** @throws ServerError ERR_OPTION_TYPE */
  protect(fd: number, on: boolean): boolean {
    if (typeof on !== 'boolean') refuse('ERR_OPTION_TYPE', 'on', 'true or false', on);
    return this.withSlot('protect', fd, (table, slot) => {
      table.setFlag(slot, SlotFlag.protected, on);
      return true;
    });
  }

  /** @throws ServerError ERR_UID */
  bind(fd: number, uid: number): boolean {
    if (!Number.isInteger(uid) || uid < 1 || uid > MAX_UID) {
      throw new ServerError('ERR_UID', { received: describe(uid) });
    }
    return this.withSlot('bind', fd, (table, slot) => {
      if (table.bindUid(slot, uid)) return true;
      return this.refuse(new ServerError('ERR_ALREADY_BOUND', { fd, uid: table.info(fd)?.uid ?? 0 }));
    });
  }

  isOpen(fd: number): boolean {
    return isSessionId(fd) && (this.table?.isOpen(fd) ?? false);
  }

  drained(fd: number): Promise<void> {
    return isSessionId(fd) ? this.#runtime('drain').outbox.drain(fd) : Promise.resolve();
  }

  info(fd: number): ClientInfo | undefined {
    return isSessionId(fd) ? this.table?.info(fd) : undefined;
  }

  /** @param close closes a silent client @throws ServerError ERR_HEARTBEAT */
  heartbeat(options: HeartbeatOptions, ports: readonly ListenPort[], close: (fd: number) => void): number[] {
    const { close: closes, idleMs } = checkHeartbeat(options);
    const silent = silentConnections(this.table, ports, idleMs);
    if (closes) for (const fd of silent) close(fd);
    return silent;
  }

  /** At most `count` open ones, behind `after`. @throws ServerError ERR_OPTION_TYPE */
  list(after: number, count: number): number[] {
    if (!(Number.isSafeInteger(after) && after >= 0)) refuse('ERR_OPTION_TYPE', 'after', 'a session id, or 0', after);
    if (!(count === Number.POSITIVE_INFINITY || (Number.isSafeInteger(count) && count >= 0))) {
      refuse('ERR_OPTION_TYPE', 'count', 'a whole number, or Infinity', count);
    }
    const list: number[] = [];
    for (const fd of this.table?.sessions(after) ?? []) {
      if (list.length >= count) break;
      list.push(fd);
    }
    return list;
  }

  #isWebSocket(fd: number): boolean {
    const { table } = this;
    return table !== undefined && this.isOpen(fd) && table.hasFlag(table.slotOf(fd), SlotFlag.webSocket);
  }

  refuse(error: ServerError): false {
    this.lastError = error;
    return false;
  }

  #refuseId(fd: number): false {
    return this.refuse(new ServerError('ERR_SESSION_ID', { received: describe(fd) }));
  }
}

function isSessionId(fd: number): boolean {
  return Number.isSafeInteger(fd) && fd > 0;
}
