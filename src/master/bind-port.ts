/** Binds a listen port and says clearly why it cannot be. Runs in the master. */
import { lookup } from 'node:dns/promises';
import { lstatSync, rmSync } from 'node:fs';
import { connect, isIP } from 'node:net';
import { resolve } from 'node:path';
import { ServerError } from '../errors/index.js';
import { bindTcp, bindUnix, closeDescriptor, listen, localAddress } from '../os/socket.js';
import { SyscallError } from '../os/syscall-error.js';
import { findPortHolder } from './port-holder.js';

export interface BoundPort {
  readonly descriptor: number;
  readonly host: string;
  /** 0: a unix socket. */
  readonly port: number;
  /** Of a unix socket; empty otherwise. */
  readonly path: string;
  readonly backlog: number;
}

export interface WantedPort {
  readonly type: 'tcp' | 'unix';
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly backlog: number;
}

export async function bindPort(wanted: WantedPort): Promise<BoundPort> {
  const { type, host, port, backlog } = wanted;
  if (type === 'unix') return bindPath(resolve(wanted.path), backlog);
  try {
    const address = isIP(host) === 0 ? (await lookup(host)).address : host;
    const descriptor = bindTcp(address, port);
    return { descriptor, host, port: localAddress(descriptor).port, path: '', backlog };
  } catch (error) {
    throw explain(error, host, port);
  }
}

async function bindPath(path: string, backlog: number): Promise<BoundPort> {
  const bound = (descriptor: number): BoundPort => ({ descriptor, host: '', port: 0, path, backlog });
  try {
    return bound(bindUnix(path));
  } catch (error) {
    if ((error as { code?: string }).code !== 'EADDRINUSE') throw explainPath(error, path);
    await removeStale(path, error);
  }
  try {
    return bound(bindUnix(path));
  } catch (error) {
    throw explainPath(error, path);
  }
}

/** A socket file that nobody listens behind is what a killed server has left. */
async function removeStale(path: string, cause: unknown): Promise<void> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) {
    throw new ServerError('ERR_PATH_IN_USE', { path, holder: 'a file that is no socket' }, { cause });
  }
  const isServed = await new Promise<boolean>((done) => {
    const probe = connect(path, () => done(true)).on('error', () => done(false));
    probe.once('connect', () => probe.destroy());
  });
  if (isServed) throw new ServerError('ERR_PATH_IN_USE', { path, holder: 'a running server' }, { cause });
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
  if (bound.path !== '') rmSync(bound.path, { force: true });
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
