import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeFindings } from '../../src/cli/commands/doctor.js';
import { calls, ioUring, nodeVersion, openssl, packagesOf, sharedMemory } from '../../src/cli/doctor/abilities.js';
import { cpuQuota, memoryLimit, outOfMemory } from '../../src/cli/doctor/cgroup.js';
import { examine, thisMachine } from '../../src/cli/doctor/examine.js';
import type { Check, Machine } from '../../src/cli/doctor/finding.js';
import { acceptQueue, ephemeralPorts, openFiles, processes, socketBuffers, swap } from '../../src/cli/doctor/kernel.js';

type Files = Readonly<Record<string, string>>;

const MIB = 1024 * 1024;
const healthy: Machine = {
  read: () => undefined,
  platform: 'linux',
  koffiFault: '',
  nodeVersion: 'v24.1.0',
  cores: 4,
  backlog: 512,
  createSharedMemory: () => {},
  hasIoUring: () => true,
  opensslFault: () => '',
  tlsEngine: undefined,
  packageVersion: () => undefined,
};
const machine = (files: Files, more: Partial<Machine> = {}): Machine => ({
  ...healthy,
  read: (path) => files[path],
  ...more,
});

/** The level, and what the finding says with its mend. */
function look(check: Check, files: Files, more: Partial<Machine> = {}): [level?: string, text?: string] {
  const found = check(machine(files, more));
  return found === undefined ? [] : [found.level, `${found.says} | ${found.mend}`];
}

const LIMITS = '/proc/self/limits';
const limits = (name: string, soft: string, hard = soft): Files => ({
  [LIMITS]: `Limit   Soft Limit   Hard Limit   Units\n${name.padEnd(26)}${soft.padEnd(21)}${hard.padEnd(21)}things\n`,
});

describe('open files', () => {
  it.each([
    ['1024', '1048576', 'mend', 'ulimit -n 1048576'],
    ['1024', 'unlimited', 'mend', 'ulimit -n 1048576'],
    ['9999', '9999', 'mend', 'LimitNOFILE'],
    ['10000', '10000', 'note', 'maxConnections is 9900 at most'],
    ['100099', '100099', 'note', 'maxConnections is 99999 at most'],
    ['100100', '100100', 'ok', ''],
    ['unlimited', 'unlimited', 'ok', ''],
  ])('of %s, %s at most, are: %s', (soft, hard, level, says) => {
    const [found, text] = look(openFiles, limits('Max open files', soft, hard));
    expect([found, text]).toEqual([level, expect.stringContaining(says)]);
  });

  it('are not spoken of where they are not known', () => {
    expect(look(openFiles, {})).toEqual([]);
  });
});

describe('limits of the kernel', () => {
  it.each([
    ['511', 'mend'],
    ['512', 'ok'],
  ])('somaxconn %s with a backlog of 512 is %s', (most, level) => {
    expect(look(acceptQueue, { '/proc/sys/net/core/somaxconn': `${most}\n` })[0]).toBe(level);
  });

  it.each([
    ['212991', '212992', 'note'],
    ['212992', '212991', 'note'],
    ['212992', '212992', 'ok'],
  ])('rmem_max %s and wmem_max %s are %s', (receive, send, level) => {
    const files = { '/proc/sys/net/core/rmem_max': receive, '/proc/sys/net/core/wmem_max': send };
    expect(look(socketBuffers, files)[0]).toBe(level);
  });

  it.each([
    ['32768\t60999\n', 'ok'],
    ['50001\t60000\n', 'ok'],
    ['50002\t60000\n', 'note'],
  ])('the ports %j are %s', (range, level) => {
    expect(look(ephemeralPorts, { '/proc/sys/net/ipv4/ip_local_port_range': range })[0]).toBe(level);
  });

  it('of processes is the least of the user, the kernel and the cgroup', () => {
    const kernel = { ...limits('Max processes', '5000'), '/proc/sys/kernel/threads-max': '4000' };
    expect(look(processes, kernel)).toEqual(['ok', '4000 processes and threads | ']);
    const enough = { ...kernel, '/sys/fs/cgroup/pids.max': '168' };
    expect(look(processes, enough)[0]).toBe('ok');
    const few = { ...kernel, '/sys/fs/cgroup/pids/pids.max': '167' };
    expect(look(processes, few)).toEqual(['mend', expect.stringContaining('--pids-limit')]);
    expect(look(processes, { '/sys/fs/cgroup/pids.max': 'max' })[1]).toContain('any number of');
    expect(look(processes, {})).toEqual([]);
  });

  it.each([
    [1000, 1000, 'ok'],
    [1000, 901, 'ok'],
    [1000, 900, 'mend'],
  ])('of %i kB swap with %i free it is %s where memory is 1000 kB', (total, free, level) => {
    const text = `MemTotal: 1000 kB\nSwapTotal:  ${total} kB\nSwapFree:  ${free} kB\n`;
    expect(look(swap, { '/proc/meminfo': text })[0]).toBe(level);
  });
});

describe('limits of the cgroup', () => {
  it.each([
    [{}, 'ok', '4 cores'],
    [{ '/sys/fs/cgroup/cpu.max': 'max 100000' }, 'ok', '4 cores'],
    [{ '/sys/fs/cgroup/cpu.max': '400000 100000' }, 'ok', '4.0'],
    [{ '/sys/fs/cgroup/cpu.max': '150000 100000' }, 'mend', 'workerNum: 2'],
    [{ '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1', '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000' }, 'ok', '4'],
    [
      { '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '50000', '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000' },
      'mend',
      '0.5',
    ],
  ])('of CPU: %j is %s', (files, level, says) => {
    expect(look(cpuQuota, files as unknown as Files)).toEqual([level, expect.stringContaining(says)]);
  });

  it.each([
    [{}, 'ok'],
    [{ '/sys/fs/cgroup/memory.max': 'max' }, 'ok'],
    [{ '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712' }, 'ok'],
    [{ '/sys/fs/cgroup/memory.max': String(195 * MIB) }, 'ok'],
    [{ '/sys/fs/cgroup/memory.max': String(195 * MIB - 1) }, 'mend'],
    [{ '/sys/fs/cgroup/memory/memory.limit_in_bytes': String(128 * MIB) }, 'mend'],
  ])('of memory: %j is %s', (files, level) => {
    expect(look(memoryLimit, files as unknown as Files)[0]).toBe(level);
  });

  describe('of version 2 or 1 in which this process is', () => {
    const of = (path: string): Files => ({ '/proc/self/cgroup': path });
    const unit = of('0::/system.slice/app.service\n');
    const container = of('12:pids:/docker/abc\n3:cpu,cpuacct:/docker/abc\n2:memory:/docker/abc\n0::/\n');
    const at = '/sys/fs/cgroup';

    it.each([
      [{ ...unit, [`${at}/system.slice/app.service/cpu.max`]: '150000 100000' }, 'mend', '1.5'],
      [{ ...unit, [`${at}/system.slice/app.service/cpu.max`]: 'max 100000' }, 'ok', '4 cores'],
      [
        {
          ...unit,
          [`${at}/system.slice/app.service/cpu.max`]: '300000 100000',
          [`${at}/system.slice/cpu.max`]: '100000 100000',
        },
        'mend',
        '1.0',
      ],
      [
        {
          ...container,
          [`${at}/cpu/docker/abc/cpu.cfs_quota_us`]: '50000',
          [`${at}/cpu/docker/abc/cpu.cfs_period_us`]: '100000',
        },
        'mend',
        '0.5',
      ],
      // The host's path, and only the own cgroup is mounted.
      [
        { ...container, [`${at}/cpu/cpu.cfs_quota_us`]: '200000', [`${at}/cpu/cpu.cfs_period_us`]: '100000' },
        'mend',
        '2.0',
      ],
      [{ ...of('0::/../other\n'), [`${at}/cpu.max`]: '100000 100000', [`${at}/other/cpu.max`]: '1 1' }, 'mend', '1.0'],
    ])('CPU is the least: %j is %s', (files, level, says) => {
      expect(look(cpuQuota, files as unknown as Files)).toEqual([level, expect.stringContaining(says)]);
    });

    it('memory, processes and what was killed are its own', () => {
      const own = `${at}/system.slice/app.service`;
      const small = { ...unit, [`${own}/memory.max`]: String(100 * MIB), [`${at}/system.slice/memory.max`]: 'max' };
      expect(look(memoryLimit, small)).toEqual(['mend', expect.stringContaining('100 MiB')]);
      expect(look(memoryLimit, { ...container, [`${at}/memory/docker/abc/memory.limit_in_bytes`]: '1' })[0]).toBe(
        'mend',
      );
      expect(look(processes, { ...unit, [`${at}/system.slice/pids.max`]: '20', [`${own}/pids.max`]: '500' })).toEqual([
        'mend',
        expect.stringContaining('20 processes'),
      ]);
      const events = { [`${own}/memory.events`]: 'oom_kill 0\n', [`${at}/system.slice/memory.events`]: 'oom_kill 7\n' };
      expect(look(outOfMemory, { ...unit, ...events })[0]).toBe('ok');
    });
  });

  it('tell of processes that the kernel has killed', () => {
    expect(look(outOfMemory, {})).toEqual([]);
    expect(look(outOfMemory, { '/sys/fs/cgroup/memory.events': 'oom 1\noom_kill 0\n' })[0]).toBe('ok');
    const [level, text] = look(outOfMemory, { '/sys/fs/cgroup/memory.events': 'oom 3\noom_kill 2\n' });
    expect([level, text]).toEqual(['mend', expect.stringContaining('killed 2 processes')]);
  });
});

describe('what the server uses', () => {
  it.each([
    ['v20.18.9', 'mend'],
    ['v18.20.0', 'mend'],
    ['v20.19.0', 'ok'],
    ['v22.0.0', 'ok'],
  ])('Node %s is %s', (version, level) => {
    expect(look(nodeVersion, {}, { nodeVersion: version })[0]).toBe(level);
  });

  it('memory that is shared must be there', () => {
    expect(look(sharedMemory, {})).toEqual(['ok', 'memfd | ']);
    const createSharedMemory = (): void => {
      throw new Error('memfd_create: EPERM');
    };
    expect(look(sharedMemory, {}, { createSharedMemory })).toEqual(['mend', expect.stringContaining('EPERM')]);
  });

  it('io_uring and OpenSSL may be missing', () => {
    expect(look(ioUring, {})[0]).toBe('ok');
    expect(look(ioUring, {}, { platform: 'darwin' })).toEqual([]);
    const hasIoUring = (): boolean => false;
    expect(look(ioUring, {}, { hasIoUring })).toEqual(['note', expect.stringContaining('seccomp')]);
    const off = { '/proc/sys/kernel/io_uring_disabled': '2\n' };
    expect(look(ioUring, off, { hasIoUring })).toEqual(['note', expect.stringContaining('io_uring_disabled=0')]);
    expect(look(openssl, {})[0]).toBe('ok');
    expect(look(openssl, {}, { opensslFault: () => 'no SSL_new' })).toEqual([
      'note',
      expect.stringContaining('no SSL_new'),
    ]);
  });

  it.each([
    ['node', '', 'note', /^by node:tls, as TSWOOLE_TLS_ENGINE=node says/],
    ['openssl', '', 'ok', /^Node's OpenSSL is called directly/],
    ['', '', 'ok', /^Node's OpenSSL is called directly/],
    ['native', '', 'note', /^TSWOOLE_TLS_ENGINE=native names no engine: Node's OpenSSL is .*values are openssl, node/],
    ['native', 'no SSL_new', 'note', /names no engine: node:tls serves \(no SSL_new\)/],
  ])('the engine of TLS that the environment names (%s) is told, OpenSSL: %s', (tlsEngine, why, level, text) => {
    const found = look(openssl, {}, { tlsEngine, opensslFault: () => why });
    expect(found).toEqual([level, expect.stringMatching(text)]);
  });

  it('the C library must be there, and without it nothing is said of what needs it', () => {
    expect(look(calls, {})).toEqual(['ok', 'by koffi | ']);
    const koffiFault = 'koffi has no binary. Install it.';
    expect(look(calls, {}, { koffiFault })).toEqual([
      'mend',
      'none | No server can start. koffi has no binary. Install it.',
    ]);
    for (const check of [sharedMemory, ioUring, openssl]) expect(look(check, {}, { koffiFault })).toEqual([]);
  });

  it.each([
    ['6.6.9', 'mend', 'not supported'],
    ['6.7.0', 'ok', '6.7.0'],
    ['6.10.0', 'ok', '6.10.0'],
    ['7.0.0', 'mend', 'not supported'],
    ['', 'mend', 'its package.json is broken'],
  ])('bullmq %s is %s', (version, level, says) => {
    const found = packagesOf(machine({}, { packageVersion: () => version })).find(({ subject }) =>
      subject.endsWith('bullmq'),
    );
    expect([found?.level, `${found?.says} | ${found?.mend}`]).toEqual([level, expect.stringContaining(says)]);
  });

  it('packages are named with the version to install', () => {
    const versions: Record<string, string> = { ioredis: '6.1.0', pg: '7.0.0' };
    const found = packagesOf(machine({}, { packageVersion: (name) => versions[name] }));
    expect(found.map(({ subject, level }) => [subject, level])).toEqual([
      ['package ioredis', 'ok'],
      ['package @nats-io/transport-node', 'note'],
      ['package bullmq', 'note'],
      ['package pg', 'mend'],
    ]);
    expect(found[3]?.mend).toContain('npm install pg@^8');
  });
});

describe('the report', () => {
  it('of this machine has a mend for each fault, and knows the packages of this project', async () => {
    const found = examine(await thisMachine());
    expect(found.every(({ level, mend }) => (level === 'ok') === (mend === ''))).toBe(true);
    expect(found.find(({ subject }) => subject === 'package ioredis')).toMatchObject({ level: 'ok' });
  });

  it('is made where a package is broken', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'doctor-'));
    mkdirSync(join(folder, 'node_modules/pg'), { recursive: true });
    writeFileSync(join(folder, 'node_modules/pg/package.json'), '{"version": ');
    try {
      expect((await thisMachine(join(folder, 'server.js'))).packageVersion('pg')).toBe('');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('has a line for each finding, and one for its mend', () => {
    const text = describeFindings([
      { subject: 'a', level: 'ok', says: 'well', mend: '' },
      { subject: 'bcd', level: 'mend', says: 'ill', mend: 'Cure it.' },
    ]);
    expect(text).toBe('ok    a    well\nmend  bcd  ill\n           Cure it.');
  });
});
