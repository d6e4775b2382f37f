/** Sending datagrams: from every process directly, through the sockets they came in by. */
import { isIP } from 'node:net';
import { describe, ServerError } from '../errors/index.js';
import { decodePeer, encodeAddress, encodeUnixAddress } from '../os/address.js';
import { errnoName } from '../os/libc.js';
import { sendTo } from '../os/socket.js';
import type { ListenPort } from './listen-port.js';

/** The sender of a datagram. */
export class DatagramPeer {
  /** The listen port the datagram came to. */
  readonly listenPort: ListenPort | undefined;
  readonly #portIndex: number;
  readonly #sockaddr: Buffer;
  readonly #sender: DatagramSender;

  /** @internal */
  constructor(sockaddr: Buffer, portIndex: number, listenPort: ListenPort | undefined, sender: DatagramSender) {
    this.listenPort = listenPort;
    this.#portIndex = portIndex;
    this.#sockaddr = sockaddr;
    this.#sender = sender;
  }

  /** IP address, or the path of a unix socket ('' when it has none: it cannot be answered). */
  get address(): string {
    return this.#sockaddr.length > 2 ? decodePeer(this.#sockaddr).address : '';
  }

  /** UDP port; 0 for a unix socket. */
  get port(): number {
    return this.#sockaddr.length > 2 ? decodePeer(this.#sockaddr).port : 0;
  }

  /**
   * Answers through the socket the datagram came to. @returns false, and `server.lastError` says why. Swoole: sendto()
   */
  send(data: string | Uint8Array): boolean {
    return this.#sender.sendBy(this.#portIndex, this.#sockaddr, data);
  }
}

export class DatagramSender {
  readonly #descriptors: () => readonly number[];
  readonly #ports: readonly ListenPort[];
  readonly #refuse: (error: ServerError) => false;

  /** @param descriptors by listen port, −1 for streams; of a running process */
  constructor(
    descriptors: () => readonly number[],
    ports: readonly ListenPort[],
    refuse: (error: ServerError) => false,
  ) {
    this.#descriptors = descriptors;
    this.#ports = ports;
    this.#refuse = refuse;
  }

  peer(portIndex: number, sockaddr: Buffer): DatagramPeer {
    return new DatagramPeer(sockaddr, portIndex, this.#ports[portIndex], this);
  }

  /** @param address an IP address, or the path of a unix socket @throws ServerError ERR_DATA_TYPE, ERR_DATAGRAM_ADDRESS */
  sendTo(address: unknown, port: unknown, data: string | Uint8Array): boolean {
    const family = typeof address === 'string' ? isIP(address) : -1;
    const isPath = family === 0 && String(address).includes('/');
    const isPort = Number.isInteger(port) && Number(port) > 0 && Number(port) < 65_536;
    if (family < 0 || (family === 0 && !isPath) || (family > 0 && !isPort)) {
      throw new ServerError('ERR_DATAGRAM_ADDRESS', { received: `${describe(address)}, ${describe(port)}` });
    }
    const index = this.#portFor(family);
    if (index < 0) return this.#refuse(new ServerError('ERR_NO_DATAGRAM_PORT', { address: String(address) }));
    const sockaddr = isPath ? encodeUnixAddress(String(address)) : encodeAddress(String(address), Number(port));
    return this.sendBy(index, sockaddr, data);
  }

  /** The first listen port whose socket can reach that kind of address. */
  #portFor(family: number): number {
    const descriptors = this.#descriptors();
    return this.#ports.findIndex(({ type, host }, index) => {
      if ((descriptors[index] ?? -1) < 0) return false;
      return family === 0 ? type === 'unix-dgram' : type === 'udp' && (family === 6) === host.includes(':');
    });
  }

  /** @throws ServerError ERR_DATA_TYPE */
  sendBy(portIndex: number, sockaddr: Buffer, data: string | Uint8Array): boolean {
    if (typeof data !== 'string' && !(data instanceof Uint8Array)) {
      throw new ServerError('ERR_DATA_TYPE', { received: describe(data) });
    }
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    const sent = sendTo(this.#descriptors()[portIndex] ?? -1, bytes, sockaddr);
    if (sent >= 0) return true;
    return this.#refuse(new ServerError('ERR_DATAGRAM', { bytes: bytes.length, code: errnoName(-sent) }));
  }
}
