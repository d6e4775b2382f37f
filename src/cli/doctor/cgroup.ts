/** Limits of the cgroup of this process, version 2 or 1: what a container, or a unit of systemd, may use. */
import { cgroupFolders } from './cgroup-folders.js';
import { type Check, fault, type Machine, numberIn, ok } from './finding.js';

const MIB = 1024 * 1024;
/** One reactor, two workers and the broker process, without load (docs/kubernetes.md). */
const BASE_BYTES = 145 * MIB;
/** Each further worker. */
const WORKER_BYTES = 25 * MIB;
/** Version 1 writes about 2⁶³ for "any amount". */
const ANY_AMOUNT = 2 ** 60;

export const cpuQuota: Check = (machine) => {
  const quota = quotaOf(machine);
  const { cores } = machine;
  if (quota === undefined) return ok('CPU', `${cores} cores`);
  const says = `${cores} cores, of which the cgroup may use ${quota.toFixed(1)}`;
  const fitting = Math.max(1, Math.ceil(quota));
  if (cores <= fitting) return ok('CPU', says);
  return fault(
    'CPU',
    says,
    `Workers wait for one another's CPU time. Set workerNum: ${fitting} and reactorNum: 1, or raise the quota.`,
  );
};

/** The least of all; undefined: there is none. */
function quotaOf(machine: Machine): number | undefined {
  const quotas = cgroupFolders(machine, 'cpu').map((folder) => quotaIn(machine, folder));
  const known = quotas.filter((quota) => quota !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function quotaIn(machine: Machine, folder: string): number | undefined {
  const both = /^(\d+)\s+(\d+)/.exec(machine.read(`${folder}/cpu.max`) ?? '');
  const quota = both === null ? numberIn(machine, `${folder}/cpu.cfs_quota_us`) : Number(both[1]);
  const period = both === null ? numberIn(machine, `${folder}/cpu.cfs_period_us`) : Number(both[2]);
  if (quota === undefined || period === undefined || quota <= 0 || period <= 0) return undefined;
  return quota / period;
}

export const memoryLimit: Check = (machine) => {
  const limits = cgroupFolders(machine, 'memory').flatMap((folder) => [
    numberIn(machine, `${folder}/memory.max`) ?? ANY_AMOUNT,
    numberIn(machine, `${folder}/memory.limit_in_bytes`) ?? ANY_AMOUNT,
  ]);
  const limit = Math.min(...limits);
  if (limit >= ANY_AMOUNT) return ok('memory', 'the cgroup has no limit');
  const needed = BASE_BYTES + Math.max(0, machine.cores - 2) * WORKER_BYTES;
  const says = `the cgroup may use ${Math.round(limit / MIB)} MiB`;
  if (limit >= needed) return ok('memory', says);
  const mend = `${machine.cores} workers need some ${Math.round(needed / MIB)} MiB before your code holds anything, and the kernel kills what is above the limit. Raise it, or lower workerNum.`;
  return fault('memory', says, mend);
};

export const outOfMemory: Check = (machine) => {
  const nearest = cgroupFolders(machine, 'memory')
    .flatMap((folder) => [`${folder}/memory.events`, `${folder}/memory.oom_control`])
    .map((file) => /^oom_kill (\d+)/m.exec(machine.read(file) ?? '')?.[1])
    .find((count) => count !== undefined);
  if (nearest === undefined) return undefined;
  const kills = Number(nearest);
  if (kills === 0) return ok('out of memory', 'the kernel has killed no process of the cgroup');
  const says = `the kernel has killed ${kills} processes of the cgroup`;
  return fault(
    'out of memory',
    says,
    'Set maxMemory below the limit divided by the number of processes, or raise the limit.',
  );
};
