/**
 * Socket activation, as in systemd: the process is started with listening sockets, from descriptor 3 on
 * (sd_listen_fds(3)). A listen port that declares the address of one takes it instead of binding its own. Runs in the
 * process that starts the server.
 */
import { resolve } from 'node:path';
import { ServerError } from '../errors/index.js';
import { type AdoptedSocket, adoptSocket } from '../os/socket.js';

const FIRST_DESCRIPTOR = 3;

export interface WantedAddress {
  readonly type: string;
  /** An IP address. */
  readonly host: string;
  /** 0: any. */
  readonly port: number;
  readonly path: string;
}

export class Activation {
  readonly #sockets: AdoptedSocket[];

  private constructor(sockets: AdoptedSocket[]) {
    this.#sockets = sockets;
  }

  /** Takes the sockets this process was started with, and removes the variables, which are not meant for children. */
  static take(env: NodeJS.ProcessEnv = process.env): Activation {
    const { LISTEN_PID, LISTEN_FDS } = env;
    for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
    const count = Number(LISTEN_PID) === process.pid ? Number(LISTEN_FDS) : 0;
    if (!Number.isInteger(count) || count <= 0) return new Activation([]);
    return new Activation(Array.from({ length: count }, (_, index) => adoptSocket(FIRST_DESCRIPTOR + index)));
  }

  /** @returns the socket with this address; each only once */
  claim({ type, host, port, path }: WantedAddress): AdoptedSocket | undefined {
    const isMeant = (socket: AdoptedSocket): boolean => {
      if (socket.type !== type) return false;
      if (socket.path !== '' || path !== '') return path !== '' && socket.path === resolve(path);
      return socket.host === host && (port === 0 || socket.port === port);
    };
    const index = this.#sockets.findIndex(isMeant);
    return index < 0 ? undefined : this.#sockets.splice(index, 1)[0];
  }

  /** The parent expects every socket to be served. @throws ServerError ERR_ACTIVATION */
  refuseRest(declared: readonly WantedAddress[]): void {
    if (this.#sockets.length === 0) return;
    throw new ServerError('ERR_ACTIVATION', {
      inherited: this.#sockets.map(nameOf).join(', '),
      declared: declared.map(nameOf).join(', '),
    });
  }
}

function nameOf({ type, host, port, path }: WantedAddress): string {
  return path === '' ? `${type} ${host}:${port}` : `${type} ${path}`;
}
