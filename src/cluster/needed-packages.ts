/** Which optional packages the cluster of a server needs. Asked by the master, which loads none of them, before anything starts. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ServerError } from '../errors/index.js';
import type { DriverName } from '../options/cluster.js';
import { type PeerName, peers } from './load-peer.js';

export interface NeededFor {
  readonly driver: DriverName;
  /** null: no durable jobs. */
  readonly jobs: { readonly url: string } | null;
}

/** @throws ServerError ERR_CLUSTER_PACKAGE: the first that is not installed, and how to install it */
export function requirePackages(cluster: NeededFor, isThere: (name: PeerName) => boolean = isInstalled): void {
  for (const name of packagesFor(cluster)) {
    if (isThere(name)) continue;
    const range = peers[name];
    const why = `it is not installed; run "npm install ${name}@${range}"`;
    throw new ServerError('ERR_CLUSTER_PACKAGE', { package: name, range, why });
  }
}

function packagesFor({ driver, jobs }: NeededFor): PeerName[] {
  const needed: PeerName[] = [];
  if (driver === 'redis') needed.push('ioredis');
  if (driver === 'nats') needed.push('@nats-io/transport-node');
  if (jobs !== null) needed.push('bullmq', jobs.url.startsWith('redis') ? 'ioredis' : 'pg');
  return needed;
}

/** In a folder where Node looks for it. With Yarn's Plug'n'Play there are no folders: the broker process says it then. */
export function isInstalled(name: string): boolean {
  if (process.versions['pnp'] !== undefined) return true;
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  return folders.some((folder) => existsSync(join(folder, name, 'package.json')));
}
