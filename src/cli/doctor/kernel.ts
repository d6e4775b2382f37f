/** Limits that the kernel sets for every process of the machine. */
import { cgroupFolders } from './cgroup-folders.js';
import { type Check, fault, note, numberIn, ok, toLimit } from './finding.js';

const FEW_DESCRIPTORS = 10_000;
/** The default of `maxConnections`, and what the server keeps back. */
const ENOUGH_DESCRIPTORS = 100_100;
const FEW_SOCKET_BYTES = 212_992;
const FEW_PORTS = 10_000;
/** Of one process of Node: its own, those of V8 and of its thread pool. */
const THREADS_PER_PROCESS = 12;
/** Besides the workers: master, manager, broker, task workers, a reload that doubles all of them. */
const MORE_PROCESSES = 10;

export const openFiles: Check = ({ read }) => {
  const line = /^Max open files\s+(\S+)\s+(\S+)/m.exec(read('/proc/self/limits') ?? '');
  const soft = toLimit(line?.[1] ?? '');
  const hard = toLimit(line?.[2] ?? '');
  if (soft === undefined || hard === undefined) return undefined;
  const says = `${soft} (soft), ${hard} (hard)`;
  if (soft >= ENOUGH_DESCRIPTORS) return ok('open files', says);
  const how =
    soft < hard
      ? `ulimit -n ${hard === Number.POSITIVE_INFINITY ? 1_048_576 : hard}`
      : 'LimitNOFILE=1048576 in the unit of systemd, --ulimit nofile=1048576:1048576 of docker';
  const mend = `Each connection takes one, so maxConnections is ${Math.max(1, soft - 100)} at most. Raise it: ${how}.`;
  return soft < FEW_DESCRIPTORS ? fault('open files', says, mend) : note('open files', says, mend);
};

export const acceptQueue: Check = (machine) => {
  const most = numberIn(machine, '/proc/sys/net/core/somaxconn');
  if (most === undefined) return undefined;
  const says = `somaxconn ${most}, backlog ${machine.backlog}`;
  if (most >= machine.backlog) return ok('accept queue', says);
  return fault(
    'accept queue',
    says,
    `The kernel cuts the backlog to ${most}: clients that come at once are refused. sysctl -w net.core.somaxconn=4096.`,
  );
};

export const socketBuffers: Check = (machine) => {
  const receive = numberIn(machine, '/proc/sys/net/core/rmem_max');
  const send = numberIn(machine, '/proc/sys/net/core/wmem_max');
  if (receive === undefined || send === undefined) return undefined;
  const says = `rmem_max ${receive}, wmem_max ${send}`;
  if (Math.min(receive, send) >= FEW_SOCKET_BYTES) return ok('socket buffers', says);
  const mend = `Datagrams are lost sooner. sysctl -w net.core.rmem_max=${FEW_SOCKET_BYTES} net.core.wmem_max=${FEW_SOCKET_BYTES}.`;
  return note('socket buffers', says, mend);
};

export const ephemeralPorts: Check = ({ read }) => {
  const range = /^(\d+)\s+(\d+)/.exec(read('/proc/sys/net/ipv4/ip_local_port_range') ?? '');
  if (range === null) return undefined;
  const [from, to] = [Number(range[1]), Number(range[2])];
  const says = `${from} to ${to}`;
  if (to - from + 1 >= FEW_PORTS) return ok('ephemeral ports', says);
  const mend =
    'Connections of your code to one database or service are limited to so many. sysctl -w net.ipv4.ip_local_port_range="32768 60999".';
  return note('ephemeral ports', says, mend);
};

export const processes: Check = (machine) => {
  const { read, cores } = machine;
  const own = toLimit(/^Max processes\s+(\S+)/m.exec(read('/proc/self/limits') ?? '')?.[1] ?? '');
  const threads = numberIn(machine, '/proc/sys/kernel/threads-max');
  const groups = cgroupFolders(machine, 'pids').map((folder) => numberIn(machine, `${folder}/pids.max`));
  const known = [own, threads, ...groups].filter((limit) => limit !== undefined);
  if (known.length === 0) return undefined;
  const most = Math.min(...known);
  const needed = (cores + MORE_PROCESSES) * THREADS_PER_PROCESS;
  const says = `${most === Number.POSITIVE_INFINITY ? 'any number of' : most} processes and threads`;
  if (most >= needed) return ok('processes', says);
  const mend = `${cores} workers and their successors at a reload need some ${needed}. Raise it: TasksMax= of systemd, --pids-limit of docker, ulimit -u.`;
  return fault('processes', says, mend);
};

export const swap: Check = ({ read }) => {
  const text = read('/proc/meminfo') ?? '';
  const kilobytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN);
  const used = kilobytes('SwapTotal') - kilobytes('SwapFree');
  const total = kilobytes('MemTotal');
  if (Number.isNaN(used) || Number.isNaN(total)) return undefined;
  const says = used === 0 ? 'none is used' : `${Math.round(used / 1024)} MiB are used`;
  if (used * 10 < total) return ok('swap', says);
  const mend =
    'The memory of the machine is too small for what runs on it, and callbacks wait for the disk. Give it more, or set maxMemory.';
  return fault('swap', says, mend);
};
