/** How clients of the tests connect: plain, or encrypted when the suite runs over TLS. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export const OVER_TLS = process.env['TSWOOLE_TEST_TLS'] === '1';

/** An RST, also below TLS. */
export function reset(socket: Socket): void {
  const { _parent: below } = socket as unknown as { _parent?: Socket };
  if (!OVER_TLS) socket.resetAndDestroy();
  else below?.resetAndDestroy();
}

export interface Dialled {
  readonly socket: Socket;
  /** Resolves when it can be used. */
  readonly ready: Promise<unknown>;
}

export function dial(port: number, host: string, allowHalfOpen = false): Dialled {
  const plain = connect({ port, host, allowHalfOpen });
  if (!OVER_TLS) return { socket: plain, ready: once(plain, 'connect') };
  const socket = connectTls({ socket: plain, rejectUnauthorized: false });
  return { socket, ready: once(socket, 'secureConnect') };
}
