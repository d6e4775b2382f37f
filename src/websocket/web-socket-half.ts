/** The worker's half of a `WebSocketServer`: its handshakes, its messages, its `close`. Runs in a worker. */
import type { HttpApps } from '../http/apps.js';
import type { HttpRequest } from '../http/request.js';
import type { CloseReason } from '../ipc/frame.js';
import { ConnectionTable, SlotFlag } from '../memory/connection-table.js';
import type { Region } from '../memory/region.js';
import type { Connection } from '../server/connection.js';
import type { StartContext } from '../server/context.js';
import type { HttpHalf } from '../server/http-half.js';
import type { ListenPort, PortEvents } from '../server/listen-port.js';
import type { PortCallbacks } from '../worker/callbacks.js';
import type { ServiceFactory, ServiceHost } from '../worker/service.js';
import type { Accepted } from './handshake-answer.js';
import type { ReceivedText } from './received-text.js';
import type { RoomQuestions } from './room-questions.js';
import type { WebSocketConnection } from './web-socket-connection.js';
import type { Closings, WebSocketServiceParts } from './web-socket-service.js';

/** It has ended without a Close frame (RFC 6455 7.1.5). */
const ABNORMAL = 1006;

export interface HalfParts {
  readonly questions: RoomQuestions;
  readonly received: ReceivedText;
  /** As `WebSocketServer.publish`, but throws where that returns false. */
  publish(room: string, text: string): void;
}

export function webSocketHalf(apps: HttpApps, { questions, received, publish }: HalfParts): HttpHalf {
  const closings: Closings = new Map();
  let table: ConnectionTable | undefined;
  return {
    answers: true,
    publish,
    load: async (context, region) => {
      table = new ConnectionTable(region);
      questions.isHeard = true;
      return [...(await loadServices(context, region, apps, { closings, received })), () => questions];
    },
    callbacks: (callbacks, { settings: { protocol }, table: own }) => {
      // The server's own `close` is of WebSockets; another port may have one, of its connections.
      if (protocol !== 'websocket') return { ...callbacks, close: own.callbacks.close as typeof callbacks.close };
      return {
        ...callbacks,
        close: (conn: Connection, reason: CloseReason) => {
          const isSocket = table?.hasFlag(table.slotOf(conn.fd), SlotFlag.webSocket) === true;
          return isSocket ? close(conn as WebSocketConnection, reason, closings, callbacks) : undefined;
        },
      };
    },
  };
}

function close(
  conn: WebSocketConnection,
  { initiator }: CloseReason,
  closings: Closings,
  callbacks: PortCallbacks<Connection>,
): unknown {
  const told = closings.get(conn.fd);
  closings.delete(conn.fd);
  conn.isOpen = false;
  const { code = ABNORMAL, reason = '' } = told ?? {};
  const by = told?.initiator === 'client' ? 'client' : initiator;
  return callbacks.close?.(conn, { code, reason, initiator: by } as never);
}

async function loadServices(
  context: StartContext,
  region: Region,
  apps: HttpApps,
  { closings, received }: Pick<WebSocketServiceParts, 'closings' | 'received'>,
): Promise<readonly ServiceFactory[]> {
  const [{ assembleHttp }, { upgrades }, { WebSocketService }] = await Promise.all([
    import('../http/assemble.js'),
    import('./upgrades.js'),
    import('./web-socket-service.js'),
  ]);
  const { options } = context;
  const table = new ConnectionTable(region);
  let host: ServiceHost | undefined;
  const eventsOf = (port: ListenPort | undefined): Partial<PortEvents> => ({
    ...context.events,
    ...port?.table.callbacks,
  });
  const byPort = context.ports.map(eventsOf);
  const portOf = (fd: number): Partial<PortEvents> => byPort[table.portIndex(table.slotOf(fd))] ?? {};
  const prepare = (fd: number, { options: { data } }: Accepted): void => {
    const user = host?.connections.of(fd)?.user as WebSocketConnection | undefined;
    if (data !== undefined && user !== undefined) user.data = data;
  };
  const opened = (fd: number, req: HttpRequest): void => {
    const connection = host?.connections.of(fd);
    if (connection === undefined) return;
    const user = connection.user as WebSocketConnection;
    // The reactor says so too, when the 101 has come to it; `open` may send at once.
    table.setFlag(table.slotOf(fd), SlotFlag.webSocket, true);
    host?.calls.callFor(connection as never, 'open', () => portOf(fd).open?.(user, req));
  };
  const http = await assembleHttp(context, region, apps, (port) => {
    if (port.settings.protocol !== 'websocket') return undefined;
    return upgrades({
      path: options.websocketPath,
      allowedOrigins: options.allowedOrigins,
      deflate: options.websocketCompression !== null,
      handshake: eventsOf(port).handshake,
      peerOf: (fd) => {
        const { remoteAddress = '', remotePort = 0 } = table.info(fd) ?? {};
        return { remoteAddress, remotePort };
      },
      prepare,
      opened,
      failed: (error, what) => host?.calls.failed(error, what),
    });
  });
  const sockets: ServiceFactory = (serviceHost) => {
    host = serviceHost;
    return new WebSocketService(serviceHost, {
      closings,
      received,
      callbacksOf: (fd) => ({ message: portOf(fd).message }),
      maxMessageBytes: options.maxMessageBytes,
    });
  };
  return [http, sockets];
}
