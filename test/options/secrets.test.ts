import { closeSync, writeSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createSharedFile } from '../../src/os/memory.js';

const ADMIN = 'TSWOOLE_OPTION_ADMIN';
const TLS = 'TSWOOLE_OPTION_TLS';
const token = '{"token":"a secret of the admin"}';
const keys = '{"cert":"/a.crt","key":"/a.key","passphrase":"a secret of TLS"}';

type Environment = typeof import('../../src/options/environment.js');
let options: Environment;

beforeEach(async () => {
  vi.resetModules();
  options = await import('../../src/options/environment.js');
});

afterEach(() => {
  for (const name of [ADMIN, TLS, options.FLAGS_VARIABLE, options.SECRETS_VARIABLE]) delete process.env[name];
});

describe('options that hold secrets', () => {
  it('are known', () => {
    expect(['admin', 'tls', 'port', 'secret'].map(options.isSecret)).toEqual([true, true, false, false]);
  });

  it('leave the environment when they are read, and count all the same', () => {
    process.env[ADMIN] = token;
    process.env['TSWOOLE_OPTION_PORT'] = '9999';
    process.env[options.FLAGS_VARIABLE] = JSON.stringify({ tls: keys, workerNum: '2' });
    for (let i = 0; i < 2; i++) {
      expect(options.optionsFromOutside()).toMatchObject({
        ...{ admin: JSON.parse(token), tls: JSON.parse(keys), port: 9999, workerNum: 2 },
      });
    }
    expect([process.env[ADMIN], process.env[options.FLAGS_VARIABLE]]).toEqual([undefined, undefined]);
    expect(process.env['TSWOOLE_OPTION_PORT']).toBe('9999');
    delete process.env['TSWOOLE_OPTION_PORT'];
  });

  it('go to a child by a descriptor, the token of the admin listener to none', () => {
    process.env[ADMIN] = token;
    process.env[TLS] = keys;
    process.env[options.FLAGS_VARIABLE] = JSON.stringify({ admin: token, tls: keys, workerNum: '2' });
    expect(options.flagsForChild()).toEqual({ [options.FLAGS_VARIABLE]: '{"workerNum":"2"}' });
    expect(JSON.parse(options.secretsForChild())).toEqual({ flags: { tls: keys }, variables: { [TLS]: keys } });
    expect(options.secretsDescriptor()).toBe(-1);
  });

  it('are none where there are none', () => {
    process.env[ADMIN] = token;
    expect([options.secretsForChild(), options.flagsForChild()]).toEqual(['', {}]);
  });

  it('all go to a daemon, which is to be the master', () => {
    process.env[ADMIN] = token;
    process.env[options.FLAGS_VARIABLE] = '{"tls":"x"}';
    expect(options.environmentForMaster()).toEqual({ [ADMIN]: token, [options.FLAGS_VARIABLE]: '{"tls":"x"}' });
    vi.resetModules();
  });

  it('of a parent are read from its descriptor, by as many as like', async () => {
    const text = JSON.stringify({ flags: { tls: keys }, variables: { [TLS]: keys } });
    const descriptor = createSharedFile('secrets', Buffer.byteLength(text));
    writeSync(descriptor, text);
    for (let i = 0; i < 2; i++) {
      vi.resetModules();
      const fresh: Environment = await import('../../src/options/environment.js');
      process.env[options.SECRETS_VARIABLE] = String(descriptor);
      process.env[options.FLAGS_VARIABLE] = '{"port":"7"}';
      expect(fresh.optionsFromOutside()).toMatchObject({ tls: JSON.parse(keys), port: 7 });
      expect(fresh.secretsDescriptor()).toBe(descriptor);
      expect(process.env[options.SECRETS_VARIABLE]).toBeUndefined();
      expect(JSON.parse(fresh.secretsForChild())).toEqual(JSON.parse(text));
    }
    closeSync(descriptor);
  });
});
