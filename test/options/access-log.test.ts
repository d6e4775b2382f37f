import { resolve as resolvePath } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AccessLogOptions, accessLogOf } from '../../src/options/access-log.js';
import { parseOption } from '../../src/options/index.js';
import { resolveOptions } from '../../src/options/resolve.js';

const resolve = (accessLog: unknown, others: object = {}) =>
  resolveOptions({ accessLog: accessLog as AccessLogOptions, ...others });

describe('the option accessLog', () => {
  it('is off, on, or an object', () => {
    const usual = { format: 'combined', file: '', paths: [], prefixes: [], statusBelow: 0 };
    expect([resolve(undefined).accessLog, resolve(false).accessLog]).toEqual([null, null]);
    expect(resolve(true).accessLog).toEqual(usual);
    expect(resolve({}).accessLog).toEqual(usual);
    const skip = { paths: ['/healthz', '/assets/*'], statusBelow: 400 };
    expect(resolve({ format: 'json', file: 'a.log', skip }).accessLog).toEqual({
      ...{ format: 'json', file: resolvePath('a.log'), paths: ['/healthz'], prefixes: ['/assets/'], statusBelow: 400 },
    });
    expect(resolve({ skip: { paths: '/a, /b*' } }).accessLog).toMatchObject({ paths: ['/a'], prefixes: ['/b'] });
    for (const format of ['combined', 'common', 'json']) {
      expect(resolve(format).accessLog).toEqual({ ...usual, format });
      expect(parseOption('accessLog', format, '--access-log')).toBe(format);
    }
    expect(parseOption('accessLog', 'true', '--access-log')).toBe(true);
    expect(parseOption('accessLog', '{"format": "common"}', '--access-log')).toEqual({ format: 'common' });
  });

  it('goes beside the log file, where it names no file', () => {
    expect(accessLogOf(resolve(true))?.file).toBe('');
    expect(accessLogOf(resolve(true, { logFile: '/var/log/it.log' }))?.file).toBe('/var/log/access.log');
    expect(accessLogOf(resolve({ file: '/a.log' }, { logFile: '/var/log/it.log' }))?.file).toBe('/a.log');
    expect(accessLogOf(resolve(false, { logFile: '/var/log/it.log' }))).toBe(null);
  });

  it.each([
    ['a word that is no format', 'clf', 'ERR_OPTION_TYPE', 'accessLog'],
    ['a Map', new Map([['format', 'json']]), 'ERR_OPTION_TYPE', 'accessLog'],
    ['a Map to skip by', { skip: new Map() }, 'ERR_OPTION_TYPE', 'accessLog.skip'],
    ['another format', { format: 'clf' }, 'ERR_OPTION_VALUE', 'accessLog.format'],
    ['a file that is no text', { file: 3 }, 'ERR_OPTION_TYPE', 'accessLog.file'],
    ['a function to skip by', { skip: () => true }, 'ERR_OPTION_TYPE', 'accessLog.skip'],
    ['a path that is none', { skip: { paths: ['healthz'] } }, 'ERR_OPTION_VALUE', 'accessLog.skip.paths'],
    ['a path with a query', { skip: { paths: ['/a?b'] } }, 'ERR_OPTION_VALUE', 'accessLog.skip.paths'],
    ['a path with a fragment', { skip: { paths: ['/a#b'] } }, 'ERR_OPTION_VALUE', 'accessLog.skip.paths'],
    ['a path with a space', { skip: { paths: ['/a b'] } }, 'ERR_OPTION_VALUE', 'accessLog.skip.paths'],
    [
      'a path with letters that are sent encoded',
      { skip: { paths: ['/für'] } },
      'ERR_OPTION_VALUE',
      'accessLog.skip.paths',
    ],
    ['an empty path', { skip: { paths: '' } }, 'ERR_OPTION_VALUE', 'accessLog.skip.paths'],
    ['a star within', { skip: { paths: ['/a/*/b'] } }, 'ERR_OPTION_VALUE', 'accessLog.skip.paths'],
    ['paths that are no list', { skip: { paths: 7 } }, 'ERR_OPTION_TYPE', 'accessLog.skip.paths'],
    ['a status that is none', { skip: { statusBelow: 7 } }, 'ERR_OPTION_RANGE', 'accessLog.skip.statusBelow'],
    ['another key', { path: '/a' }, 'ERR_OPTION_UNKNOWN', 'accessLog.path'],
    ['another key to skip by', { skip: { path: '/a' } }, 'ERR_OPTION_UNKNOWN', 'accessLog.skip.path'],
  ])('refuses %s', (_, given, code, name) => {
    expect(() => resolve(given)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(`"${name}"`) }),
    );
  });

  it('is refused where its lines would go nowhere, or among others', () => {
    const conflict = (other: string) =>
      expect.objectContaining({
        code: 'ERR_OPTION_CONFLICT',
        detail: expect.objectContaining({ name: 'accessLog', other }),
      });
    expect(() => resolve(true, { daemonize: true })).toThrow(conflict('daemonize'));
    expect(() => resolve({ file: '/it.log' }, { logFile: '/it.log' })).toThrow(conflict('logFile'));
    expect(resolve(true, { daemonize: true, logFile: '/var/log/it.log' }).accessLog).not.toBe(null);
  });
});
