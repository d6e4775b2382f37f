/** What `user`, `group`, `chroot`, `umask`, `workingDir` and `cpuAffinity` do to a process. */
import { realpathSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { chdir } from 'node:process';
import { describe, ServerError } from '../errors/index.js';
import type { ResolvedOptions } from '../options/index.js';
import { allowedCores, become, findIdentity, runOnCore } from './privileges.js';

const privileged = ['user', 'group', 'chroot'] as const;

/** Says at the start what could not be done in every worker. @throws ServerError ERR_NOT_ROOT, ERR_USER, ERR_CORES, ERR_OPTION_VALUE */
export function checkIsolation(options: ResolvedOptions): void {
  const option = privileged.find((name) => options[name] !== '');
  if (option !== undefined) checkIdentity(options, option);
  if (options.chroot !== '') checkRoot(options);
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

/** Workers change their root when they are in their folder. */
function checkRoot({ chroot, workingDir }: ResolvedOptions): void {
  mustBeFolder('chroot', chroot, () => {
    if (statSync(resolve(workingDir, chroot)).isDirectory()) return;
    throw Object.assign(new Error('it is no folder'), { code: 'ENOTDIR' });
  });
}

/** @param enter throws an Error with `code` @throws ServerError ERR_OPTION_VALUE */
function mustBeFolder(name: string, path: string, enter: () => void): void {
  try {
    enter();
  } catch (cause) {
    const { code = 'UNKNOWN' } = cause as { code?: string };
    const expected = 'a folder that is there and that this user may enter';
    throw new ServerError('ERR_OPTION_VALUE', { name, expected, received: `${describe(path)} (${code})` }, { cause });
  }
}

/**
 * Relative paths among the options mean the same in every process, for any `workingDir`: a child begins where the master
 * began. Read here, because this module is always there before `settleIn` is called; others are loaded after it.
 */
export const startedIn = process.cwd();

/** In every process. @throws ServerError ERR_OPTION_VALUE */
export function settleIn({ umask, workingDir }: ResolvedOptions): void {
  if (umask >= 0) process.umask(umask);
  if (workingDir !== '') mustBeFolder('workingDir', workingDir, () => chdir(workingDir));
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
