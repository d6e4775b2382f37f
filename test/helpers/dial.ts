/** How clients of the tests connect: plain, or encrypted when the suite runs over TLS. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';

export const OVER_TLS = process.env['TSWOOLE_TEST_TLS'] === '1';

const NODE = Number.parseInt(process.versions.node, 10);

/** What carries an encrypted socket. */
const carriers = new WeakMap<Socket, Socket>();

/** An RST, also below TLS. */
export function reset(socket: Socket): void {
  (carriers.get(socket) ?? socket).resetAndDestroy();
}

/** A socket that TLS does not take over: since Node 26 one that it has taken over cannot be reset. */
class Carrier extends Duplex {
  readonly #plain: Socket;

  constructor(plain: Socket) {
    super({ allowHalfOpen: true });
    this.#plain = plain;
    plain.on('data', (data) => {
      if (!this.push(data)) plain.pause();
    });
    plain.on('end', () => this.push(null));
    plain.on('error', (error) => this.destroy(error));
  }

  override _read(): void {
    this.#plain.resume();
  }

  override _write(data: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#plain.write(data, done);
  }

  override _final(done: () => void): void {
    this.#plain.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#plain.destroy();
    done(error);
  }
}

export interface Dialled {
  readonly socket: Socket;
  /** Resolves when it can be used. */
  readonly ready: Promise<unknown>;
}

/** @param from the address that the server is to see; default: the usual one */
export function dial(port: number, host: string, allowHalfOpen = false, from?: string): Dialled {
  const plain = connect({ port, host, allowHalfOpen, ...(from !== undefined && { localAddress: from }) });
  if (!OVER_TLS) return { socket: plain, ready: once(plain, 'connect') };
  const carrier = NODE < 26 ? plain : new Carrier(plain);
  const socket = connectTls({ socket: carrier, rejectUnauthorized: false });
  if (carrier !== plain) {
    plain.on('close', () => {
      // What came before an end in order is still to be taken.
      if (!plain.readableEnded || socket.readableEnded) carrier.destroy();
      else socket.once('end', () => carrier.destroy());
    });
  }
  carriers.set(socket, plain);
  // A socket over a stream knows no addresses.
  for (const name of ['localPort', 'remotePort'] as const) {
    Object.defineProperty(socket, name, { get: () => plain[name] });
  }
  return { socket, ready: once(socket, 'secureConnect') };
}
