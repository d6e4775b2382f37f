import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import { type Machine, resolveListen, resolveOptions, type ServerOptions } from '../../src/options/index.js';

const machine: Machine = { cores: 4, descriptorLimit: 20_000 };
const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** Resolves options that a type-checked caller could not write. */
function resolve(given: unknown, on: Machine = machine) {
  return resolveOptions(given as ServerOptions, on);
}

function refusal(act: () => unknown): ServerError {
  try {
    act();
  } catch (error) {
    if (error instanceof ServerError) return error;
    throw error;
  }
  throw new Error('a ServerError was expected, nothing was thrown');
}

/** As the system has it. */
const tcp = {
  keepAliveIdleMs: 0,
  keepAliveIntervalMs: 0,
  keepAliveCount: 0,
  userTimeoutMs: 0,
  deferAccept: false,
  fastOpen: 0,
  kernelReceiveBufferSize: 0,
  kernelSendBufferSize: 0,
};

const operation = {
  name: '',
  control: true,
  runDir: '',
  admin: null,
  watch: [],
  daemonize: false,
  pidFile: '',
  user: '',
  group: '',
  chroot: '',
  umask: -1,
  workingDir: '',
  cpuAffinity: [],
  logFile: '',
  logFormat: 'auto',
  logRotation: null,
  logger: null,
};

describe('defaults', () => {
  test('without options every option has its default', () => {
    expect(resolve({})).toEqual({
      host: '127.0.0.1',
      port: 0,
      cluster: null,
      path: '',
      type: 'tcp',
      mode: 'process',
      reactorNum: 4,
      workerNum: 4,
      maxWorkerNum: 4,
      taskWorkerNum: 0,
      taskConcurrency: 1,
      taskQueueLimit: 8000,
      taskRetries: 0,
      taskTimeoutMs: 60_000,
      taskMaxRequest: 0,
      messageBufferSize: 64 * MIB,
      maxRequest: 0,
      maxRequestJitter: 0,
      maxUptimeMs: 0,
      maxUptimeJitterMs: 0,
      cronReload: '',
      heartbeatIdleMs: 0,
      heartbeatCheckMs: 10,
      writeTimeoutMs: 0,
      maxWaitMs: 3000,
      bootTimeoutMs: 30_000,
      workerTimeoutMs: 0,
      maxMemory: 0,
      ...operation,
      dispatchMode: 'least-connections',
      maxConnections: 19_900,
      maxConnectionsPerIp: 0,
      maxRooms: 16_384,
      backlog: 512,
      delayReceive: false,
      maxIdleMs: 0,
      framing: { type: 'raw' },
      packageMaxLength: 2 * MIB,
      bodyLimit: 2 * MIB,
      requestLineLimit: 8 * 1024,
      headerLimit: 16 * 1024,
      headerCountLimit: 100,
      headersTimeoutMs: 10_000,
      requestTimeoutMs: 60_000,
      minBodyBytesPerSecond: 0,
      keepAliveTimeoutMs: 75_000,
      halfCloseTimeoutMs: 30_000,
      maxConcurrency: 0,
      rateLimit: null,
      trustProxy: null,
      sticky: null,
      accessLog: null,
      workerMaxConcurrency: 0,
      compression: null,
      staticFiles: [],
      websocketPath: '',
      allowedOrigins: '*',
      maxMessageBytes: 1_048_576,
      pingIntervalMs: 30_000,
      websocketCompression: null,
      slowConsumer: 'close',
      roomHighWatermark: 1_048_576,
      http2: true,
      protocol: 'raw',
      proxyProtocol: [],
      sendBufferSize: 64 * MIB,
      highWatermark: MIB,
      lowWatermark: 256 * KIB,
      channelSize: 4 * MIB,
      ...tcp,
      tls: null,
      reusePort: false,
      maxQueuedBytes: 0,
      maxBufferedBytes: 0,
      overloadPolicy: 'pause',
      noDelay: true,
      keepAlive: false,
      logLevel: 'info',
      processTitle: 'tswoole',
      reactorBackend: 'auto',
      ioUring: true,
    });
  });

  test('the machine is looked at when none is given', () => {
    expect(resolveOptions().workerNum).toBeGreaterThan(0);
    expect(resolveOptions().maxConnections).toBeGreaterThan(0);
  });

  test('undefined counts as not given', () => {
    expect(resolve({ port: undefined, workerNum: undefined }).workerNum).toBe(4);
  });

  test.each([
    [1, 1],
    [8, 8],
    [9, 8],
    [128, 8],
  ])('%i cores get %i reactor threads', (cores, reactorNum) => {
    expect(resolve({}, { ...machine, cores }).reactorNum).toBe(reactorNum);
  });

  test.each([
    [20, 1],
    [101, 1],
    [102, 2],
    [1024, 924],
    [100_100, 100_000],
    [1_048_576, 100_000],
    [Number.POSITIVE_INFINITY, 100_000],
  ])('a limit of %d open files allows %i connections', (descriptorLimit, maxConnections) => {
    expect(resolve({}, { ...machine, descriptorLimit }).maxConnections).toBe(maxConnections);
  });

  test('the high watermark stays below a small send buffer, and the low one below the high one', () => {
    const { highWatermark, lowWatermark } = resolve({ sendBufferSize: '64k' });
    expect(highWatermark).toBe(Math.floor(64 * KIB * 0.8));
    expect(lowWatermark).toBe(Math.floor(highWatermark / 4));
  });

  test.each([
    [1, 1, 4 * MIB],
    [4, 5, 4 * MIB], // 240 MiB of rings
    [4, 6, 2 * MIB],
    [8, 10, MIB],
    [8, 11, 512 * KIB], // would be 264 MiB
    [8, 32, 256 * KIB],
    [8, 86, 128 * KIB],
    [64, 1000, 128 * KIB], // the least a channel can be by default
  ])('%i reactors and %i workers get channels of %i bytes', (reactorNum, workerNum, channelSize) => {
    expect(resolve({ reactorNum, workerNum }).channelSize).toBe(channelSize);
  });

  test('in BASE mode each worker has a channel to each other one, whatever reactorNum says', () => {
    for (const reactorNum of [1, 64]) {
      expect(resolve({ mode: 'base', reactorNum, workerNum: 4 }).channelSize).toBe(4 * MIB);
      expect(resolve({ mode: 'base', reactorNum, workerNum: 32 }).channelSize).toBe(128 * KIB);
    }
  });

  test('every default passes its own check on any machine', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4096 }), fc.integer({ min: 0, max: 2 ** 30 }), (cores, descriptorLimit) => {
        const options = resolve({}, { cores, descriptorLimit });
        expect(resolve(options, { cores: 1, descriptorLimit: 1 })).toEqual(options);
      }),
    );
  });
});

describe('the result', () => {
  test('is frozen', () => {
    expect(Object.isFrozen(resolve({}))).toBe(true);
  });

  test("does not touch the caller's object", () => {
    const given = Object.freeze({ port: 80, sendBufferSize: '1m' });
    expect(resolve(given)).toMatchObject({ port: 80, sendBufferSize: MIB });
    expect(given).toEqual({ port: 80, sendBufferSize: '1m' });
  });
});

describe('boundaries', () => {
  const integers: [keyof ServerOptions, number, number][] = [
    ['port', 0, 65_535],
    ['reactorNum', 1, 64],
    ['workerNum', 1, 1000],
    ['maxWaitMs', 0, 3_600_000],
    ['bootTimeoutMs', 1, 3_600_000],
    ['maxConnections', 1, 1_000_000],
    ['maxRooms', 1, 1_048_576],
    ['backlog', 1, 65_535],
  ];

  test.each(integers)('%s takes the integers from %i to %i and no others', (name, min, max) => {
    expect(resolve({ [name]: min })[name]).toBe(min);
    expect(resolve({ [name]: max })[name]).toBe(max);
    for (const outside of [min - 1, max + 1]) {
      const error = refusal(() => resolve({ [name]: outside }));
      expect(error.code).toBe('ERR_OPTION_RANGE');
      expect(error.message).toContain(`Option "${name}" must be an integer from ${min} to ${max}`);
      expect(error.message).toContain(`received number ${outside}`);
    }
  });

  test.each(integers)('%s must be an integer of type number', (name) => {
    for (const wrong of ['1', 1.5, Number.NaN, Number.POSITIVE_INFINITY, null, true, 1n, [1], {}]) {
      expect(refusal(() => resolve({ [name]: wrong })).code).toBe('ERR_OPTION_TYPE');
    }
  });

  test.each([
    ['sendBufferSize', '64k', 64 * KIB, '1g', GIB, 64 * KIB - 1, GIB + 1],
    ['channelSize', '64k', 64 * KIB, '64m', 64 * MIB, 32 * KIB, 128 * MIB],
  ] as const)('%s takes sizes from %s to %s', (name, min, minBytes, max, maxBytes, tooSmall, tooLarge) => {
    expect(resolve({ [name]: min })[name]).toBe(minBytes);
    expect(resolve({ [name]: minBytes })[name]).toBe(minBytes);
    expect(resolve({ [name]: max })[name]).toBe(maxBytes);
    for (const outside of [tooSmall, tooLarge]) {
      const error = refusal(() => resolve({ [name]: outside }));
      expect(error.code).toBe('ERR_OPTION_RANGE');
      expect(error.message).toContain(`Option "${name}" must be`);
      expect(error.message).toContain(`from ${min} to ${max}`);
      expect(error.message).toContain(`received number ${outside}`);
    }
  });

  test.each([64 * KIB + 1, 96 * KIB, '3m'])('channelSize refuses %s, which is no power of two', (given) => {
    const error = refusal(() => resolve({ channelSize: given }));
    expect(error.code).toBe('ERR_OPTION_RANGE');
    expect(error.message).toContain('a power of two');
  });

  test.each(['', ' 1m', '1 m', '-1m', '1.5m', '1t', '1mb', 'm', '0x10', '1e6'])('%j is not a size', (given) => {
    expect(refusal(() => resolve({ sendBufferSize: given })).code).toBe('ERR_OPTION_VALUE');
  });

  test('a size is a number or a string', () => {
    expect(refusal(() => resolve({ sendBufferSize: true })).code).toBe('ERR_OPTION_TYPE');
    expect(refusal(() => resolve({ sendBufferSize: 1e5 + 0.5 })).code).toBe('ERR_OPTION_TYPE');
  });

  test('the high watermark may be the whole send buffer, but not more', () => {
    expect(resolve({ sendBufferSize: '1m', highWatermark: '1m' }).highWatermark).toBe(MIB);
    const error = refusal(() => resolve({ sendBufferSize: '1m', highWatermark: MIB + 1 }));
    expect(error.detail).toMatchObject({ name: 'highWatermark', other: 'sendBufferSize' });
    expect(error.code).toBe('ERR_OPTION_CONFLICT');
    expect(error.message).toContain(`received ${MIB + 1} and ${MIB} bytes`);
  });

  test('members of a room are slow at sendBufferSize at the latest', () => {
    expect(resolve({}).roomHighWatermark).toBe(MIB);
    expect(resolve({ sendBufferSize: '64k' }).roomHighWatermark).toBe(64 * KIB);
    expect(resolve({ sendBufferSize: '2m', roomHighWatermark: '2m' }).roomHighWatermark).toBe(2 * MIB);
    const error = refusal(() => resolve({ sendBufferSize: '2m', roomHighWatermark: 2 * MIB + 1 }));
    expect(error.detail).toMatchObject({ name: 'roomHighWatermark', other: 'sendBufferSize' });
  });

  test('the low watermark may be 0 and must be below the high one', () => {
    expect(resolve({ lowWatermark: 0, highWatermark: 1 })).toMatchObject({ lowWatermark: 0, highWatermark: 1 });
    expect(resolve({ lowWatermark: 9, highWatermark: 10 }).lowWatermark).toBe(9);
    const error = refusal(() => resolve({ lowWatermark: 10, highWatermark: 10 }));
    expect(error.code).toBe('ERR_OPTION_CONFLICT');
    expect(error.detail).toMatchObject({ name: 'lowWatermark', other: 'highWatermark' });
    expect(refusal(() => resolve({ lowWatermark: -1 })).code).toBe('ERR_OPTION_RANGE');
  });
});

describe('words', () => {
  test.each([
    ['mode', ['process', 'base'], 'thread'],
    ['overloadPolicy', ['pause', 'close'], 'drop'],
    ['dispatchMode', ['least-connections', 'fd-mod', 'ip-mod', 'uid-mod', 'round-robin', 'idle', 'least-busy'], 'Idle'],
    ['logLevel', ['debug', 'info', 'warn', 'error', 'silent'], ''],
    ['reactorBackend', ['auto', 'epoll', 'poll'], 'kqueue'],
  ] as const)('%s takes %j and nothing else', (name, known, wrong) => {
    for (const value of known) expect(resolve({ [name]: value })[name]).toBe(value);
    for (const value of [wrong, 1, null]) {
      const error = refusal(() => resolve({ [name]: value }));
      expect(error.code).toBe('ERR_OPTION_VALUE');
      for (const word of known) expect(error.message).toContain(`"${word}"`);
    }
    expect(refusal(() => resolve({ [name]: wrong })).message).toContain(`received string "${wrong}"`);
  });

  test.each(['noDelay', 'keepAlive'] as const)('%s takes true and false, not what could pass for them', (name) => {
    expect(resolve({ [name]: true })[name]).toBe(true);
    expect(resolve({ [name]: false })[name]).toBe(false);
    for (const value of [1, 0, 'true', null]) {
      const error = refusal(() => resolve({ [name]: value }));
      expect(error.code).toBe('ERR_OPTION_TYPE');
      expect(error.message).toContain(`Option "${name}" must be true or false`);
    }
  });

  test.each(['127.0.0.1', '0.0.0.0', '::', '::1', 'fe80::1%eth0', 'localhost', 'my_host.example', 'a.b.', 'x1'])(
    'host takes %s',
    (host) => {
      expect(resolve({ host }).host).toBe(host);
    },
  );

  test.each([
    '',
    '[::1]',
    '1.2.3.400',
    '1.2.3',
    '127.0.0.1:80',
    'a b',
    '-a',
    'a..b',
    `${'a'.repeat(64)}.b`,
    'é',
    'a\n',
  ])('host refuses %j', (host) => {
    const error = refusal(() => resolve({ host }));
    expect(error.code).toBe('ERR_OPTION_VALUE');
    expect(error.message).toContain('Option "host" must be an IPv4 address');
  });

  test('a host that is no string is of the wrong type', () => {
    expect(refusal(() => resolve({ host: 0 })).code).toBe('ERR_OPTION_TYPE');
  });

  test('processTitle takes 1 to 64 printable characters', () => {
    expect(resolve({ processTitle: 'é' }).processTitle).toBe('é');
    expect(resolve({ processTitle: 'a'.repeat(64) }).processTitle).toHaveLength(64);
    expect(refusal(() => resolve({ processTitle: '' })).code).toBe('ERR_OPTION_RANGE');
    expect(refusal(() => resolve({ processTitle: 'a'.repeat(65) })).code).toBe('ERR_OPTION_RANGE');
    expect(refusal(() => resolve({ processTitle: 'a\nb' })).code).toBe('ERR_OPTION_VALUE');
    expect(refusal(() => resolve({ processTitle: Symbol('a') })).code).toBe('ERR_OPTION_TYPE');
  });
});

describe('names', () => {
  test.each([
    ['wokerNum', 'workerNum'],
    ['workernum', 'workerNum'],
    ['worker_num', 'workerNum'],
    ['open_tcp_nodelay', 'noDelay'],
    ['max_conn', 'maxConnections'],
    ['max_wait_time', 'maxWaitMs'],
  ])('an unknown option %s is refused with the nearest known name %s', (name, nearest) => {
    const error = refusal(() => resolve({ [name]: 1 }));
    expect(error.code).toBe('ERR_OPTION_UNKNOWN');
    expect(error.detail).toEqual({ name, nearest });
    expect(error.message).toContain(`"${name}"`);
    expect(error.message).toContain(`"${nearest}"`);
  });

  test('of several unknown options all are named', () => {
    const error = refusal(() => resolve({ workers: 1, prot: 2, qwertyuiop: 3 } as never));
    expect(error.detail).toEqual({ name: 'workers', nearest: 'workerNum', others: '"prot" (port), "qwertyuiop"' });
    expect(error.message).toContain('is "workerNum". Unknown too: "prot" (port), "qwertyuiop". Correct');
  });

  test.each(['maxUptimeMs', 'workerTimeoutMs'])('%s below a second is refused, and 0 is none', (name) => {
    for (const value of [1, 999, -1]) {
      const error = refusal(() => resolve({ [name]: value }));
      expect([error.code, error.message]).toEqual([
        'ERR_OPTION_RANGE',
        expect.stringMatching(
          `"${name}" must be 0, or an integer from 1000 to \\d+ \\(ms\\), received number ${value}`,
        ),
      ]);
    }
    for (const value of [0, 1000]) expect(resolve({ [name]: value })).toMatchObject({ [name]: value });
  });

  test.each(['qwertyuiop', '', 'constructor', 'toString', 'hasOwnProperty'])('nothing is near %j', (name) => {
    const error = refusal(() => resolve({ [name]: 1 }));
    expect(error.code).toBe('ERR_OPTION_UNKNOWN');
    expect(error.message).not.toContain('nearest');
  });

  test('an own property __proto__ is an unknown option, not a prototype', () => {
    expect(refusal(() => resolve(JSON.parse('{"__proto__": {"port": 1}}'))).code).toBe('ERR_OPTION_UNKNOWN');
  });

  test.each([null, 1, 'port', [], () => 1])('%s are no options', (given) => {
    const error = refusal(() => resolve(given));
    expect(error.code).toBe('ERR_OPTION_TYPE');
    expect(error.message).toContain('an object with options by name');
  });

  test('whatever is given, the answer is options or a ServerError ERR_OPTION_*', () => {
    const names = Object.keys(resolve({}));
    const given = fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), fc.anything());
    fc.assert(
      fc.property(given, (options) => {
        try {
          expect(Object.keys(resolve(options))).toEqual(names);
        } catch (error) {
          if (!(error instanceof ServerError)) throw error;
          expect(error.code).toMatch(/^ERR_OPTION_/);
        }
      }),
    );
  });
});

describe('listen', () => {
  const server = resolve({ host: '::1', port: 9501, backlog: 7, noDelay: false, keepAlive: true });

  test('what is missing is as on the server, and the port is a free one', () => {
    expect(resolveListen({}, server)).toEqual({
      type: 'tcp',
      host: '::1',
      port: 0,
      path: '',
      backlog: 7,
      delayReceive: false,
      heartbeatIdleMs: 0,
      heartbeatCheckMs: 10,
      maxIdleMs: 0,
      framing: { type: 'raw' },
      protocol: 'raw',
      packageMaxLength: 2 * MIB,
      proxyProtocol: [],
      trustProxy: null,
      noDelay: false,
      keepAlive: true,
      tls: null,
      ...tcp,
      sendBufferSize: 64 * MIB,
      highWatermark: MIB,
      lowWatermark: 256 * KIB,
    });
  });

  test('what is given counts', () => {
    const framing = { type: 'raw' as const };
    const ports = { host: 'localhost', port: 1, backlog: 2, noDelay: true, keepAlive: false };
    const given = {
      ...ports,
      type: 'tcp' as const,
      path: '',
      framing,
      protocol: 'http' as const,
      delayReceive: true,
      heartbeatIdleMs: 1000,
      heartbeatCheckMs: 20,
      maxIdleMs: 2000,
      packageMaxLength: 5,
      proxyProtocol: ['10.0.0.0/8'],
      tls: null,
      ...tcp,
      sendBufferSize: 100_000,
      highWatermark: 50_000,
      lowWatermark: 1000,
    };
    expect(resolveListen(given, server)).toEqual({ ...given, trustProxy: null });
    expect(Object.isFrozen(resolveListen(given, server))).toBe(true);
  });

  test('watermarks follow those above them that are given', () => {
    const { sendBufferSize, highWatermark, lowWatermark } = resolveListen({ sendBufferSize: '100k' }, server);
    expect({ sendBufferSize, highWatermark, lowWatermark }).toEqual({
      sendBufferSize: 102_400,
      highWatermark: 81_920,
      lowWatermark: 20_480,
    });
    const error = refusal(() => resolveListen({ sendBufferSize: '100k', highWatermark: '200k' }, server));
    expect(error.code).toBe('ERR_OPTION_CONFLICT');
  });

  test('a port with a heartbeat of its own is looked at as often as that needs', () => {
    expect(resolveListen({ heartbeatIdleMs: 3000 }, server).heartbeatCheckMs).toBe(1500);
    expect(resolveListen({}, resolve({ heartbeatIdleMs: 5000 }))).toMatchObject({
      heartbeatIdleMs: 5000,
      heartbeatCheckMs: 2500,
    });
    expect(refusal(() => resolveListen({ heartbeatIdleMs: -1 }, server)).code).toBe('ERR_OPTION_RANGE');
  });

  test('datagrams have no TLS, although the server has', () => {
    const encrypted = resolve({ tls: { cert: '-----BEGIN CERTIFICATE-----', key: '-----BEGIN PRIVATE KEY-----' } });
    expect(resolveListen({ type: 'udp' }, encrypted).tls).toBeNull();
    expect(resolveListen({}, encrypted).tls).toMatchObject({ minVersion: 'TLSv1.2' });
    const error = refusal(() => resolveListen({ type: 'udp', tls: { cert: 'a', key: 'b' } }, server));
    expect(error.code).toBe('ERR_OPTION_CONFLICT');
  });

  test('an option of the server is unknown to a listen port', () => {
    const error = refusal(() => resolveListen({ workerNum: 2 } as object, server));
    expect(error.code).toBe('ERR_OPTION_UNKNOWN');
    expect(error.detail).toEqual({ name: 'workerNum', nearest: undefined });
  });

  test('a wrong value is refused as on the server', () => {
    expect(refusal(() => resolveListen({ port: 65_536 }, server)).code).toBe('ERR_OPTION_RANGE');
  });
});
