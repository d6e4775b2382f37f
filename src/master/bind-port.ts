/** Binds a listen port and says clearly why it cannot be. Runs in the master. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { ServerError } from '../errors/index.js';
import { bindTcp, closeDescriptor, listen, localAddress } from '../os/socket.js';
import { SyscallError } from '../os/syscall-error.js';
import { findPortHolder } from './port-holder.js';

export interface BoundPort {
  readonly descriptor: number;
  readonly host: string;
  readonly port: number;
  readonly backlog: number;
}

export async function bindPort(wanted: { host: string; port: number; backlog: number }): Promise<BoundPort> {
  const { host, port, backlog } = wanted;
  try {
    const address = isIP(host) === 0 ? (await lookup(host)).address : host;
    const descriptor = bindTcp(address, port);
    return { descriptor, host, port: localAddress(descriptor).port, backlog };
  } catch (error) {
    throw explain(error, host, port);
  }
}

/** From here on the kernel completes connections. */
export function listenOn(bound: BoundPort): void {
  try {
    listen(bound.descriptor, bound.backlog);
  } catch (error) {
    throw explain(error, bound.host, bound.port);
  }
}

export function unbindPort(bound: BoundPort): void {
  closeDescriptor(bound.descriptor);
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
