import { linkSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AccessLog, prepareAccessFile } from '../../src/access-log/access-log.js';
import type { AccessEntry } from '../../src/access-log/entry.js';
import { RequestText } from '../../src/access-log/request-text.js';
import type { AccessLogOptions } from '../../src/options/access-log.js';
import { resolveOptions } from '../../src/options/resolve.js';

const asRoot = it.skipIf(process.getuid?.() !== 0);
const NOBODY = 65_534;
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'access-log-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const entry: AccessEntry = {
  client: '192.0.2.7',
  request: new RequestText().set({ requestLine: 'GET / HTTP/1.1', host: '', referer: '', userAgent: '' }),
  ...{ status: 200, bytes: 12, ms: 3, isCut: false },
};

function open(options: AccessLogOptions): AccessLog {
  const { accessLog } = resolveOptions({ accessLog: { file: join(folder, 'log'), format: 'json', ...options } });
  if (accessLog === null) throw new Error('there is no log');
  return AccessLog.open(accessLog, () => 0);
}

it('skips paths that are named, and those that begin as one that ends with a star', () => {
  const log = open({ skip: { paths: ['/healthz', '/assets/*'] } });
  const targets = ['/healthz', '/healthz?full', '/healthz/', '/assets/', '/assets/a?b', '/assets', '/', '*'];
  expect(targets.filter((target) => log.skips(target))).toEqual([
    '/healthz',
    '/healthz?full',
    '/assets/',
    '/assets/a?b',
  ]);
  expect([log.skipsPaths, open({ skip: { statusBelow: 400 } }).skipsPaths]).toEqual([true, false]);
});

it('skips answers below a status, but none that was broken off', () => {
  const log = open({ skip: { statusBelow: 400 } });
  log.write({ ...entry, status: 399 }, 1);
  log.write({ ...entry, status: 400 }, 1);
  log.write({ ...entry, status: 200, isCut: true }, 2);
  log.close();
  const lines = readFileSync(join(folder, 'log'), 'utf8').trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([{ status: 400 }, { status: 200, cut: true }]);
});

asRoot('gives a file to the user of workers only where it has no other name', () => {
  const prepare = (file: string): void =>
    prepareAccessFile({
      accessLog: resolveOptions({ accessLog: { file } }).accessLog,
      logFile: '',
      user: 'nobody',
      group: '',
    });
  prepare(join(folder, 'log'));
  expect(statSync(join(folder, 'log'))).toMatchObject({ uid: NOBODY });
  writeFileSync(join(folder, 'precious'), 'of root');
  linkSync(join(folder, 'precious'), join(folder, 'linked'));
  prepare(join(folder, 'linked'));
  expect(statSync(join(folder, 'precious'))).toMatchObject({ uid: 0 });
});
