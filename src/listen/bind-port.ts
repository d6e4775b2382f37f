/** Binds a listen port, with a clear error if it cannot be bound. Runs in the process that starts the server. */
import { lookup } from 'node:dns/promises';
import { lstatSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { ServerError } from '../errors/index.js';
import type { ResolvedListen } from '../options/index.js';
import { isIP } from '../options/ip-address.js';
import {
  type AdoptedSocket,
  bindTcp,
  bindUdp,
  bindUnix,
  closeDescriptor,
  isUnixServed,
  listen,
  localAddress,
  setTcpSettings,
  type TcpSettings,
} from '../os/socket.js';
import { type Shortfall, type SocketBuffers, setSocketBuffers } from '../os/socket-buffers.js';
import { SyscallError } from '../os/syscall-error.js';
import type { Activation } from './activation.js';
import { findPortHolder } from './port-holder.js';

type SocketType = ResolvedListen['type'];

/** The facts about a bound port that accepting needs. */
export interface ListeningPort {
  readonly type: SocketType;
  readonly descriptor: number;
  /** A load balancer connects here: its address does not count for `maxConnectionsPerIp`. */
  readonly proxied: boolean;
}

export interface BoundPort extends ListeningPort {
  readonly host: string;
  /** 0: a unix socket. */
  readonly port: number;
  /** Of a unix socket; empty otherwise. */
  readonly path: string;
  readonly backlog: number;
  /** The parent has created the socket, and removes its file. */
  readonly isInherited: boolean;
  /** Buffers for which the kernel has given less than was wanted. */
  readonly short?: readonly Shortfall[];
}

export interface WantedPort extends TcpSettings, SocketBuffers {
  readonly type: SocketType;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly backlog: number;
  readonly proxyProtocol: readonly string[];
}

/** @param reusePort other sockets of this server are bound to the same address */
export async function bindPort(wanted: WantedPort, reusePort = false, activation?: Activation): Promise<BoundPort> {
  const { type, host, port, backlog } = wanted;
  const proxied = wanted.proxyProtocol.length > 0;
  const address = wanted.path === '' ? await addressOf(host, port) : host;
  const inherited = activation && claim(activation, wanted, address);
  if (inherited !== undefined) {
    return { ...inherited, backlog, proxied, isInherited: true, short: setBuffers(inherited, wanted) };
  }
  if (type === 'unix' || type === 'unix-dgram') {
    return { ...bindPath(type, resolve(wanted.path), backlog), proxied, isInherited: false };
  }
  try {
    const bind = type === 'udp' ? bindUdp : bindTcp;
    const descriptor = bind(address, port, reusePort);
    if (type === 'tcp') setTcpSettings(descriptor, wanted);
    return {
      type,
      descriptor,
      host,
      port: localAddress(descriptor).port,
      path: '',
      backlog,
      proxied,
      isInherited: false,
      short: setBuffers({ type, descriptor }, wanted),
    };
  } catch (error) {
    throw explain(error, host, port);
  }
}

/** @throws ServerError ERR_LISTEN for a name that does not resolve */
async function addressOf(host: string, port: number): Promise<string> {
  if (isIP(host) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch (error) {
    throw explain(error, host, port);
  }
}

function claim(activation: Activation, wanted: WantedPort, address: string): AdoptedSocket | undefined {
  const inherited = activation.claim({ ...wanted, host: address });
  if (inherited?.type === 'tcp') setTcpSettings(inherited.descriptor, wanted);
  return inherited;
}

/** A unix socket has no buffers of its own: what is sent counts for its sender. */
function setBuffers({ type, descriptor }: Pick<AdoptedSocket, 'type' | 'descriptor'>, wanted: WantedPort): Shortfall[] {
  return type === 'tcp' || type === 'udp' ? setSocketBuffers(descriptor, wanted) : [];
}

/** Datagrams arrive without listening or accepting. */
export function isDatagram({ type }: { readonly type: SocketType }): boolean {
  return type === 'udp' || type === 'unix-dgram';
}

function bindPath(
  type: 'unix' | 'unix-dgram',
  path: string,
  backlog: number,
): Omit<BoundPort, 'proxied' | 'isInherited'> {
  const kind = type === 'unix' ? 'stream' : 'datagram';
  const bound = () => ({ type, descriptor: bindUnix(path, kind), host: '', port: 0, path, backlog });
  try {
    return bound();
  } catch (error) {
    if ((error as { code?: string }).code !== 'EADDRINUSE') throw explainPath(error, path);
    removeStale(path, kind, error);
  }
  try {
    return bound();
  } catch (error) {
    throw explainPath(error, path);
  }
}

/** Removes a socket file without a listener, which a killed server has left. */
function removeStale(path: string, kind: 'stream' | 'datagram', cause: unknown): void {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) {
    throw new ServerError('ERR_PATH_IN_USE', { path, holder: 'a file that is no socket' }, { cause });
  }
  if (isUnixServed(path, kind))
    throw new ServerError('ERR_PATH_IN_USE', { path, holder: 'a running server' }, { cause });
  rmSync(path, { force: true });
}

function explainPath(error: unknown, path: string): ServerError {
  const { code = 'ENAMETOOLONG', syscall = 'bind' } = error as { code?: string; syscall?: string };
  return new ServerError('ERR_LISTEN_PATH', { path, code, syscall }, { cause: error });
}

/** From here on the kernel completes connections. */
export function listenOn(bound: BoundPort): void {
  try {
    listen(bound.descriptor, bound.backlog);
  } catch (error) {
    throw bound.path === '' ? explain(error, bound.host, bound.port) : explainPath(error, bound.path);
  }
}

export function unbindPort(bound: BoundPort): void {
  closeDescriptor(bound.descriptor);
  if (bound.path !== '' && !bound.isInherited) rmSync(bound.path, { force: true });
}

function explain(error: unknown, host: string, port: number): ServerError {
  const options = { cause: error };
  const { code = 'UNKNOWN', syscall = 'bind' } = error as { code?: string; syscall?: string };
  if (!(error instanceof SyscallError)) return new ServerError('ERR_LISTEN', { host, port, code, syscall }, options);
  if (code === 'EADDRINUSE') {
    const holder = findPortHolder(port);
    return new ServerError('ERR_PORT_IN_USE', { host, port, ...(holder === undefined ? {} : { holder }) }, options);
  }
  if (code === 'EACCES' && port < 1024) return new ServerError('ERR_PORT_PRIVILEGED', { host, port }, options);
  return new ServerError('ERR_LISTEN', { host, port, code, syscall }, options);
}
