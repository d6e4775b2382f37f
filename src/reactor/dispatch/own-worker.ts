import type { DispatchStrategy } from './strategy.js';

/**
 * Sticky, BASE mode: the worker that accepted a connection keeps it. @param datagramsToo the worker has datagram
 * sockets of its own
 */
export function ownWorker(worker: number, datagramsToo: boolean): DispatchStrategy {
  return { sticky: true, keepsUnused: true, choose: () => worker, ...(datagramsToo && { datagrams: worker }) };
}
