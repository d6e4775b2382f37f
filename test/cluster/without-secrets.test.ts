import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { natsEngine } from '../../src/cluster/drivers/nats.js';
import { redisEngine } from '../../src/cluster/drivers/redis.js';
import { whyOf } from '../../src/cluster/jobs/engine.js';
import { withoutSecrets } from '../../src/cluster/without-secrets.js';
import { resolveDriverOptions } from '../../src/options/cluster.js';

describe('what an engine has said, without secrets', () => {
  test.each([
    ["server does not support 'tls'", 'p'],
    ["server does not support 'tls'", 'tls'],
    ['server does not support TLS', 'not'],
    ['WRONGPASS invalid username-password pair or user is disabled.', 'password'],
    ['password authentication failed for user "app"', 'password'],
    ['connect ECONNREFUSED 127.0.0.1:6379', '6379'],
    ['Client sent AUTH, but no password is set', 'no'],
    ['ERR AUTH <password> called without any password configured for the default user', 'called'],
    ['no answer within 3000 ms', 'a1'],
  ])('%s: every word stays, though the password is %j', (text, secret) => {
    expect(withoutSecrets(text, [secret])).toBe(text);
  });

  test.each([
    ["ERR unknown command 'AUTH', with args beginning with: 'app' 'p' ", 'p', 'with args beginning with: (hidden)'],
    ['500 unknown: AUTH hunter', 'hunter', '500 unknown: AUTH (hidden)'],
    ["500 unknown: AUTH 'app' 'p'", 'p', "500 unknown: AUTH 'app' '(hidden)'"],
    ['cannot parse redis://app:p@host:6379/1', 'p', 'cannot parse redis://(hidden)@host:6379/1'],
    ['cannot parse postgres://app:of%20another@host', 'p', 'cannot parse postgres://(hidden)@host'],
    ['bad CONNECT {"user":"a","pass":"p"}', 'p', 'bad CONNECT {"user":"a","pass":(hidden)}'],
    ['bad string: host=a password=p', 'p', 'bad string: host=a password=(hidden)'],
    ['said s3cr3t-of-ours!', 's3cr3t-of-ours', 'said (hidden)!'],
    ['said a.*(b', 'a.*(b', 'said (hidden)'],
    ['said xs3cr3t-of-oursx', 's3cr3t-of-ours', 'said x(hidden)x'],
    ['said p1, and up1', 'p1', 'said (hidden), and up1'],
  ])('%s: the password %j is hidden', (text, secret, expected) => {
    expect(withoutSecrets(text, [undefined, '', secret])).toContain(expected);
  });
});

describe('the reason why an engine cannot be used', () => {
  const url = new URL('redis://127.0.0.1:6379');

  test('is told whole for jobs', () => {
    const error = new Error("server does not support 'tls'");
    expect(whyOf(error, { url, password: 'p' })).toBe(error.message);
  });

  test.each([
    ['Redis', redisEngine, 'redis', (socket: Socket) => socket.on('data', () => socket.write('-ERR no support\r\n'))],
    ['NATS', natsEngine, 'nats', (socket: Socket) => socket.end('no support')],
  ] as const)('is told whole by the driver for %s', async (_, engine, driver, serve) => {
    const server = createServer((socket) => serve(socket.on('error', () => {})));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const options = resolveDriverOptions(driver, { url: `${driver}://127.0.0.1:${port}`, password: 'o' });
      const events = { message() {}, dropped() {}, refused() {}, closed() {} };
      const connecting = engine(options).connect(events, new AbortController().signal);
      await expect(connecting).rejects.toMatchObject({
        code: 'ERR_CLUSTER_CONNECT',
        message: expect.not.stringContaining('(hidden)'),
      });
    } finally {
      server.close();
    }
  });
});
