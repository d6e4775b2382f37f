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

/** @throws ServerError ERR_CLUSTER_ADDRESS */
export function readAddress(address: string): ConnectionAddress {
  const [, node, incarnation, fd] = ADDRESS.exec(address) ?? [];
  if (node === undefined || incarnation === undefined || !Number.isSafeInteger(Number(fd))) {
    throw told(new ServerError('ERR_CLUSTER_ADDRESS', { received: describe(address) }));
  }
  return { node, incarnation, fd: Number(fd) };
}
