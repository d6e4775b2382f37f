/** What `user`, `group`, `chroot`, `umask`, `workingDir` and `cpuAffinity` do to a process. */
import { chdir } from 'node:process';
import { ServerError } from '../errors/index.js';
import type { ResolvedOptions } from '../options/index.js';
import { keepProgram } from '../util/import-module.js';
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

/** In processes that run the user's callbacks, before any of these. @throws an Error with `code` */
export function giveUpRights(options: ResolvedOptions): void {
  if (privileged.every((name) => options[name] === '')) return;
  const identity = findIdentity(options.user, options.group);
  if ('unknown' in identity) throw new ServerError('ERR_USER', { name: identity.unknown, option: 'user' });
  keepProgram();
  become(identity, options.chroot);
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
