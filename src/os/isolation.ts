/** What `user`, `group`, `chroot`, `umask`, `workingDir` and `cpuAffinity` do to a process. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { chdir } from 'node:process';
import { ServerError } from '../errors/index.js';
import type { ResolvedOptions } from '../options/index.js';
import { allowedCores, become, findIdentity, runOnCore } from './privileges.js';

const privileged = ['user', 'group', 'chroot'] as const;

/** Says at the start what could not be done in every worker. @throws ServerError ERR_NOT_ROOT, ERR_USER, ERR_CORES */
export function checkIsolation(options: ResolvedOptions): void {
  const option = privileged.find((name) => options[name] !== '');
  if (option !== undefined) checkIdentity(options, option);
  const allowed = allowedCores();
  const others = coresOf(options).filter((core) => !allowed.includes(core));
  if (others.length > 0 && allowed.length > 0) {
    throw new ServerError('ERR_CORES', { received: others.join(', '), allowed: allowed.join(', ') });
  }
}

function checkIdentity({ user, group }: ResolvedOptions, option: string): void {
  if (process.geteuid?.() !== 0) throw new ServerError('ERR_NOT_ROOT', { option });
  const identity = findIdentity(user, group);
  if (!('unknown' in identity) || (user === '' && group === '')) return;
  const name = identity.unknown;
  throw new ServerError('ERR_USER', { name, option: name === user ? 'user' : 'group' });
}

/**
 * Relative paths among the options mean the same in every process, for any `workingDir`: a child begins where the master
 * began. Read here, because this module is always there before `settleIn` is called; others are loaded after it.
 */
export const startedIn = process.cwd();

/** In every process. */
export function settleIn({ umask, workingDir }: ResolvedOptions): void {
  if (umask >= 0) process.umask(umask);
  if (workingDir !== '') chdir(workingDir);
}

/** The root of this process as reactor threads see it, which stay outside of it; empty: they share theirs. */
let rootOutside = '';

/**
 * In processes that run the user's callbacks, before any of these.
 * @param prepare called before rights are given up, or other files are seen; not where all stays @throws an Error with `code`
 */
export function giveUpRights(options: ResolvedOptions, prepare: () => void): void {
  if (privileged.every((name) => options[name] === '')) return;
  const identity = findIdentity(options.user, options.group);
  if ('unknown' in identity) throw new ServerError('ERR_USER', { name: identity.unknown, option: 'user' });
  prepare();
  become(identity, options.chroot);
  if (options.mode === 'process') rootOutside = options.chroot;
}

/** @returns the path under which a reactor finds a file of this process; without links, which would mean others there */
export function pathForReactor(path: string): string {
  if (rootOutside === '') return path;
  try {
    return join(rootOutside, realpathSync(path));
  } catch {
    return join(rootOutside, path); // it is gone, or does not open there either
  }
}

function coresOf({ cpuAffinity }: ResolvedOptions): readonly number[] {
  return cpuAffinity === 'all' ? allowedCores() : cpuAffinity;
}

/** The core of the n-th of several processes or threads; −1: the system decides. */
export function coreFor(options: ResolvedOptions, n: number): number {
  const cores = coresOf(options);
  return cores[n % cores.length] ?? -1;
}

export function bindToCore(core: number): void {
  if (core >= 0) runOnCore(core);
}
