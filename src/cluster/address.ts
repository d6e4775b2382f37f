/** The address of a connection of any node: `NODE~INCARNATION:FD`. */
import { describe, ServerError, told } from '../errors/index.js';

export interface ConnectionAddress {
  readonly node: string;
  /** The start of that node's server: a later one has other connections. */
  readonly incarnation: string;
  readonly fd: number;
}

const ADDRESS = /^([A-Za-z0-9._-]{1,128})~([A-Za-z0-9._-]{1,64}):([1-9]\d{0,15})$/;

export function addressText({ node, incarnation, fd }: ConnectionAddress): string {
  return `${node}~${incarnation}:${fd}`;
}

/** An error of a call on that connection: who called knows no fd of another node, and knows the address. */
export function ofAddress(error: unknown, address: string): unknown {
  if (!(error instanceof ServerError)) return error;
  const { node, fd } = readAddress(address);
  for (const code of ['ERR_SESSION_NOT_FOUND', 'ERR_SESSION_CLOSED'] as const) {
    if (error.is(code)) return told(new ServerError(code, { fd, node, address }));
  }
  return error;
}

/** @throws ServerError ERR_CLUSTER_ADDRESS */
export function readAddress(address: string): ConnectionAddress {
  const [, node, incarnation, fd] = ADDRESS.exec(address) ?? [];
  if (node === undefined || incarnation === undefined || !Number.isSafeInteger(Number(fd))) {
    throw told(new ServerError('ERR_CLUSTER_ADDRESS', { received: describe(address) }));
  }
  return { node, incarnation, fd: Number(fd) };
}
