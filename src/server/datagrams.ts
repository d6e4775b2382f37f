/** Sending datagrams: from every process directly, through the sockets they came in by. */
import { isIP } from 'node:net';
import { describe, ServerError } from '../errors/index.js';
import { decodePeer, encodeAddress, encodeUnixAddress } from '../os/address.js';
import { errnoName } from '../os/libc.js';
import { sendTo } from '../os/socket.js';
import type { Log } from '../util/log.js';
import { HeldDatagrams, type Refused } from './held-datagrams.js';
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
   * Answers through the socket the datagram came to. In a `packet` callback of a busy worker, answers by UDP of up to 2 KiB
   * leave together at the end of the turn, within 10 ms or one callback. @returns false, and `server.lastError` says why.
   * What the kernel refuses at the end of a turn is logged; for the next second each answer is sent at once. Swoole: sendto()
   */
  send(data: string | Uint8Array): boolean {
    return this.#sender.answer(this.#portIndex, this.#sockaddr, data);
  }
}

export interface DatagramSenderParts {
  /** By listen port, −1 for streams; of a running process. */
  descriptors(): readonly number[];
  readonly ports: readonly ListenPort[];
  /** Keeps it as `lastError`. */
  refuse(error: ServerError): false;
  readonly log: Pick<Log, 'warn'>;
}

export class DatagramSender {
  readonly #parts: DatagramSenderParts;
  readonly #held: HeldDatagrams;
  /** For the figures of a worker. */
  sentCount = 0;
  sentBytes = 0;

  constructor(parts: DatagramSenderParts) {
    this.#parts = parts;
    this.#held = new HeldDatagrams({
      descriptorOf: (portIndex) => this.#descriptorOf(portIndex),
      refused: (datagrams) => this.#wereRefused(datagrams),
      now: () => performance.now(),
      atExit: (flush) => process.once('exit', flush),
    });
  }

  // ——— for the worker ———

  peer(portIndex: number, sockaddr: Buffer): DatagramPeer {
    return new DatagramPeer(sockaddr, portIndex, this.#parts.ports[portIndex], this);
  }

  beginCallback(): void {
    this.#held.beginCallback();
  }

  endCallback(): void {
    this.#held.endCallback();
  }

  endTurn(): void {
    this.#held.endTurn();
  }

  // ——— for users ———

  /** @throws ServerError ERR_DATA_TYPE */
  answer(portIndex: number, sockaddr: Buffer, data: string | Uint8Array): boolean {
    const bytes = bytesOf(data);
    // A unix socket that has gone is told of at once, and so is a sender that has forged a port which does not exist.
    const mayWait = this.#parts.ports[portIndex]?.type === 'udp' && hasPort(sockaddr);
    if (mayWait && this.#held.takes(portIndex, bytes, sockaddr)) return this.#countSent(bytes.length);
    return this.#send(portIndex, sockaddr, bytes);
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
    if (index < 0) return this.#parts.refuse(new ServerError('ERR_NO_DATAGRAM_PORT', { address: String(address) }));
    const sockaddr = isPath ? encodeUnixAddress(String(address)) : encodeAddress(String(address), Number(port));
    return this.#send(index, sockaddr, bytesOf(data));
  }

  /** The first listen port whose socket can reach that kind of address. */
  #portFor(family: number): number {
    const descriptors = this.#parts.descriptors();
    return this.#parts.ports.findIndex(({ type, host }, index) => {
      if ((descriptors[index] ?? -1) < 0) return false;
      return family === 0 ? type === 'unix-dgram' : type === 'udp' && (family === 6) === host.includes(':');
    });
  }

  #send(portIndex: number, sockaddr: Buffer, bytes: Uint8Array): boolean {
    this.#held.flush();
    const sent = sendTo(this.#descriptorOf(portIndex), bytes, sockaddr);
    return sent >= 0 ? this.#countSent(sent) : this.#parts.refuse(refusedByKernel(bytes.length, -sent));
  }

  /** They were taken for sent. */
  #wereRefused(datagrams: readonly Refused[]): void {
    const [{ bytes, errno }] = datagrams as [Refused];
    const error = refusedByKernel(bytes, errno);
    for (const each of datagrams) this.sentBytes -= each.bytes;
    this.sentCount -= datagrams.length;
    this.#parts.refuse(error);
    this.#parts.log.warn('datagrams were not sent', { datagrams: datagrams.length, error });
  }

  #countSent(bytes: number): true {
    this.sentCount++;
    this.sentBytes += bytes;
    return true;
  }

  #descriptorOf(portIndex: number): number {
    return this.#parts.descriptors()[portIndex] ?? -1;
  }
}

/** Of IPv4 and IPv6 alike. */
function hasPort(sockaddr: Buffer): boolean {
  return sockaddr[2] !== 0 || sockaddr[3] !== 0;
}

function refusedByKernel(bytes: number, errno: number): ServerError {
  return new ServerError('ERR_DATAGRAM', { bytes, code: errnoName(errno) });
}

/** @throws ServerError ERR_DATA_TYPE */
function bytesOf(data: string | Uint8Array): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  if (data instanceof Uint8Array) return data;
  throw new ServerError('ERR_DATA_TYPE', { received: describe(data) });
}
