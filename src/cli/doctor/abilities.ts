/** What the server would use, and does without where it is not there. */
import { TLS_ENGINE_VARIABLE, TLS_ENGINES, tlsEngineOf } from '../../options/tls-engine.js';
import { fits, peers } from '../../util/peers.js';
import { type Check, type Finding, fault, type Machine, note, ok } from './finding.js';

const OLDEST_NODE = [20, 19] as const;

export const nodeVersion: Check = ({ nodeVersion: version }) => {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  const isOld = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]);
  if (!isOld) return ok('Node', version);
  return fault('Node', version, `tswoole needs Node ${OLDEST_NODE.join('.')} or newer.`);
};

/** Without these calls there are no processes, rings and sockets, only this report. */
export const calls: Check = ({ koffiFault }) =>
  koffiFault === ''
    ? ok('system calls', 'by koffi')
    : fault('system calls', 'none', `No server can start. ${koffiFault}`);

export const sharedMemory: Check = ({ createSharedMemory, platform, koffiFault }) => {
  if (koffiFault !== '') return undefined;
  const kind = platform === 'linux' ? 'memfd' : 'a file without a name';
  try {
    createSharedMemory();
    return ok('shared memory', kind);
  } catch (error) {
    const mend =
      'No server can start. Allow memfd_create in the seccomp profile of the container, or give it more memory.';
    return fault('shared memory', `${kind}: ${(error as Error).message}`, mend);
  }
};

export const ioUring: Check = (machine) => {
  if (machine.platform !== 'linux' || machine.koffiFault !== '') return undefined;
  if (machine.hasIoUring()) return ok('io_uring', 'usable');
  const isOff = Number(machine.read('/proc/sys/kernel/io_uring_disabled') ?? 0) > 0;
  const how = isOff
    ? 'sysctl -w kernel.io_uring_disabled=0'
    : 'Linux 5.6 or newer, and a seccomp profile of the container that allows it';
  return note(
    'io_uring',
    'not usable',
    `Each client is sent to with a call of its own; nothing else changes. To have it: ${how}.`,
  );
};

/** By which TLS a port would be served, and where the environment says something, that it is by that. */
export const openssl: Check = ({ opensslFault, koffiFault, tlsEngine }) => {
  if (koffiFault !== '') return undefined;
  const engine = tlsEngineOf(tlsEngine);
  const set = `${TLS_ENGINE_VARIABLE}=${tlsEngine}`;
  if (engine === 'node')
    return note('TLS', `by node:tls, as ${set} says`, 'It costs more CPU. Remove the variable, or set it to openssl.');
  const why = opensslFault();
  if (engine === undefined)
    return note(
      'TLS',
      `${set} names no engine: ${why === '' ? "Node's OpenSSL is called directly" : `node:tls serves (${why})`}`,
      `Its values are ${TLS_ENGINES.join(', ')}.`,
    );
  if (why === '') return ok('TLS', "Node's OpenSSL is called directly");
  return note(
    'TLS',
    `Node's OpenSSL cannot be called: ${why}`,
    'TLS runs through node:tls, which costs more CPU. Use the Node of nodejs.org.',
  );
};

/** One finding for each package that options may ask for. */
export function packagesOf({ packageVersion }: Machine): Finding[] {
  return Object.entries(peers).map(([name, range]) => {
    const version = packageVersion(name);
    const subject = `package ${name}`;
    if (version === undefined)
      return note(subject, 'not installed', `${uses[name]} needs it: npm install ${name}@${range}`);
    if (version === '') return fault(subject, 'its package.json is broken', `npm install ${name}@${range}`);
    if (fits(version, range)) return ok(subject, version);
    return fault(subject, version, `This version is not supported: npm install ${name}@${range}`);
  });
}

const uses: Readonly<Record<string, string>> = {
  ioredis: 'A cluster over Redis',
  '@nats-io/transport-node': 'A cluster over NATS',
  bullmq: 'The queue of jobs in Redis',
  pg: 'The queue of jobs in PostgreSQL',
};
