/** All checks, and the machine they look at. */
import { closeSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { resolveOptions } from '../../options/index.js';
import { TLS_ENGINE_VARIABLE } from '../../options/tls-engine.js';
import { calls, ioUring, nodeVersion, openssl, packagesOf, sharedMemory } from './abilities.js';
import { cpuQuota, memoryLimit, outOfMemory } from './cgroup.js';
import type { Finding, Machine } from './finding.js';
import { acceptQueue, ephemeralPorts, openFiles, processes, socketBuffers, swap } from './kernel.js';

const checks = [
  ...[nodeVersion, cpuQuota, memoryLimit, outOfMemory, swap, openFiles, processes],
  ...[acceptQueue, socketBuffers, ephemeralPorts, calls, sharedMemory, ioUring, openssl],
];

export function examine(machine: Machine): Finding[] {
  return [...checks.map((check) => check(machine)).filter((found) => found !== undefined), ...packagesOf(machine)];
}

/** @param script where packages are looked for from; relative to the current folder */
export async function thisMachine(script = 'index.js'): Promise<Machine> {
  return {
    read,
    platform: process.platform,
    nodeVersion: process.version,
    cores: availableParallelism(),
    backlog: resolveOptions({}).backlog,
    ...(await abilities()),
    tlsEngine: process.env[TLS_ENGINE_VARIABLE],
    packageVersion: (name) => packageVersion(resolve(script), name),
  };
}

type Abilities = Pick<Machine, 'koffiFault' | 'createSharedMemory' | 'hasIoUring' | 'opensslFault'>;

/** They load koffi, whose binary may be missing. */
async function abilities(): Promise<Abilities> {
  try {
    const { createSharedFile } = await import('../../os/memory.js');
    const { SendBatch } = await import('../../os/send-batch.js');
    const { opensslIsUsable, opensslReason } = await import('../../os/openssl.js');
    return {
      koffiFault: '',
      createSharedMemory: () => closeSync(createSharedFile('tswoole-doctor', 4096)),
      hasIoUring: () => {
        const batch = SendBatch.open();
        batch?.close();
        return batch !== undefined;
      },
      opensslFault: () => (opensslIsUsable() ? '' : opensslReason()),
    };
  } catch (error) {
    const koffiFault = (error as Error).message;
    return { koffiFault, createSharedMemory: () => {}, hasIoUring: () => false, opensslFault: () => koffiFault };
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** By its files: a package may export neither its package.json nor anything for `require`. */
function packageVersion(script: string, name: string): string | undefined {
  for (const folder of createRequire(script).resolve.paths(name) ?? []) {
    const text = read(join(folder, name, 'package.json'));
    if (text !== undefined) return versionIn(text);
  }
  return undefined;
}

function versionIn(manifest: string): string {
  try {
    const { version } = JSON.parse(manifest) as { version?: unknown };
    return typeof version === 'string' ? version : '';
  } catch {
    return '';
  }
}
