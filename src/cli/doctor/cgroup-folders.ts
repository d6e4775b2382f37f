/** Where the limits of this process lie: in its cgroup and in each one above, of which the least counts. */
import type { Machine } from './finding.js';

const MOUNTED = '/sys/fs/cgroup';

/**
 * In a container the path of its cgroup may be the host's, of which only the end is mounted: files that are not there are
 * passed over.
 * @param controller of version 1, such as `memory` @returns nearest first, of version 2 and then of version 1
 */
export function cgroupFolders({ read }: Machine, controller: string): string[] {
  const lines = (read('/proc/self/cgroup') ?? '').split('\n').map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
  const pathOf = (name: string): string => lines.find((line) => line?.[1]?.split(',').includes(name))?.[2] ?? '';
  return [
    ...upwards(pathOf('')).map((folder) => `${MOUNTED}${folder}`),
    ...upwards(pathOf(controller)).map((folder) => `${MOUNTED}/${controller}${folder}`),
  ];
}

/** `/a/b`, `/a` and the root. A path with `..` lies outside of what is mounted. */
function upwards(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '');
  if (names.includes('..')) return [''];
  return [...names.map((_, index) => `/${names.slice(0, names.length - index).join('/')}`), ''];
}
