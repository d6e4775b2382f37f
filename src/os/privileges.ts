/** The user of a process, its file system root, and its cores. */
import { spawnSync } from 'node:child_process';
import { chdir } from 'node:process';
import { check, isLinux, libc } from './libc.js';

export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** The source of its supplementary groups; undefined: it has none. */
  readonly name: string | undefined;
}

/**
 * Runs the system's own tool, which knows every source of names (files, LDAP …).
 * @param user name or number; '' keeps the current one @param group the same; '' is the user's first
 * @returns the identity, or the unknown word
 */
export function findIdentity(user: string, group: string): Identity | { readonly unknown: string } {
  const uid = user === '' ? process.getuid?.() : numberOf('passwd', user);
  if (uid === undefined) return { unknown: user };
  const given = group === '' ? ask('id', '-g', user === '' ? String(uid) : user) : numberOf('group', group);
  const gid = given ?? (group === '' ? uid : undefined); // a number without a name has no first group
  return gid === undefined ? { unknown: group } : { uid, gid, name: user === '' ? undefined : user };
}

/** Of 32 bits; the largest one stands for "as it is". */
const NO_ID = 0xffffffff;

function numberOf(what: 'passwd' | 'group', name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name) < NO_ID ? Number(name) : undefined;
  if (what === 'passwd') return ask('id', '-u', name);
  const { status, stdout } = spawnSync('getent', ['group', name], { encoding: 'utf8' });
  const gid = stdout?.split(':')[2];
  return status === 0 && gid !== undefined ? Number(gid) : undefined;
}

function ask(command: string, ...args: string[]): number | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 && /^\d+\s*$/.test(stdout) ? Number(stdout) : undefined;
}

/**
 * Sets the groups first and the user last, because each step needs rights that the next one drops. Names are looked up
 * before chroot hides the files that define them. @throws an Error with `code`
 */
export function become({ uid, gid, name }: Identity, root: string): void {
  if (name === undefined || /^\d+$/.test(name)) process.setgroups?.([gid]);
  else (process as unknown as { initgroups(user: string, group: number): void }).initgroups(name, gid);
  process.setgid?.(gid);
  if (root !== '') {
    check(libc.chroot(root), 'chroot');
    chdir('/');
  }
  process.setuid?.(uid);
}

const MOST_CORES = 1024;

/** The cores this thread may run on; empty where unknown. */
export function allowedCores(): number[] {
  if (!isLinux) return [];
  const mask = Buffer.alloc(MOST_CORES / 8);
  if (libc.sched_getaffinity(0, mask.length, mask) < 0) return [];
  return Array.from({ length: MOST_CORES }, (_, core) => core).filter((core) => isSet(mask, core));
}

const isSet = (mask: Buffer, core: number): boolean => ((mask[core >> 3] ?? 0) & (1 << (core & 7))) !== 0;

/** Pins the calling thread, and threads it starts, to this core. Does nothing where there is no such call. */
export function runOnCore(core: number): void {
  if (!isLinux) return;
  const mask = Buffer.alloc(MOST_CORES / 8);
  mask[core >> 3] = 1 << (core & 7);
  check(libc.sched_setaffinity(0, mask.length, mask), 'sched_setaffinity');
}
