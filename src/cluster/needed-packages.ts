/** Which optional packages the cluster of a server needs. Asked by the master, which loads none of them, before anything starts. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ServerError } from '../errors/index.js';
import type { DriverName } from '../options/cluster.js';
import { fits, peers } from '../util/peers.js';
import { FOR_JOBS, type PeerName } from './load-peer.js';

export interface NeededFor {
  readonly driver: DriverName;
  /** null: no durable jobs. */
  readonly jobs: { readonly url: string } | null;
}

/**
 * @param versionOf undefined: it is not installed; '': there is no telling
 * @throws ServerError ERR_CLUSTER_PACKAGE: the first that is not installed, or does not fit, and how to install it
 */
export function requirePackages(
  cluster: NeededFor,
  versionOf: (name: PeerName) => string | undefined = installedVersion,
): void {
  for (const { name, isForJobs } of packagesFor(cluster)) {
    const range = peers[name];
    const version = versionOf(name);
    if (version === '' || (version !== undefined && fits(version, range))) continue;
    const what = version === undefined ? 'it is not installed' : `version ${version} is installed`;
    throw new ServerError('ERR_CLUSTER_PACKAGE', {
      package: name,
      range,
      why: `${what}; run "npm install ${name}@${range}"`,
      ...(isForJobs && { neededBy: FOR_JOBS }),
    });
  }
}

interface Needed {
  readonly name: PeerName;
  readonly isForJobs: boolean;
}

function packagesFor({ driver, jobs }: NeededFor): Needed[] {
  const needed: Needed[] = [];
  const add = (name: PeerName, isForJobs: boolean): unknown => needed.push({ name, isForJobs });
  if (driver === 'redis') add('ioredis', false);
  if (driver === 'nats') add('@nats-io/transport-node', false);
  if (jobs !== null)
    for (const name of ['bullmq', jobs.url.startsWith('redis') ? 'ioredis' : 'pg'] as const) add(name, true);
  return needed;
}

/** Of the folder where Node finds it. With Yarn's Plug'n'Play there are no folders: the broker process says it then. */
export function installedVersion(name: string): string | undefined {
  if (process.versions['pnp'] !== undefined) return '';
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const file = folders.map((folder) => join(folder, name, 'package.json')).find((each) => existsSync(each));
  if (file === undefined) return undefined;
  try {
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version?: unknown };
    return typeof version === 'string' ? version : '';
  } catch {
    return '';
  }
}
