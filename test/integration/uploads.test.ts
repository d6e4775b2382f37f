// Temporary files of forms: whatever ends their process, none is left for good. Holds in both modes.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HttpClient, post } from '../helpers/http-client.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

let folder: string;
/** The temporary folder of the servers, and one that forms name themselves. */
let usual: string;
let other: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'uploads-'));
  usual = join(folder, 'usual');
  other = join(folder, 'other');
  mkdirSync(usual);
  mkdirSync(other);
});
afterEach(async () => {
  await endServers();
  rmSync(folder, { recursive: true, force: true });
});

const start = (options: Record<string, unknown> = {}, env: Record<string, string> = {}): Promise<ServerProcess> =>
  startServer('uploads.js', {
    options: { workerNum: 1, reactorNum: 1, maxWaitMs: 300, ...options },
    env: { TMPDIR: usual, ...env },
  });

/** The temporary folder of the server that tests share. */
const common = mkdtempSync(join(tmpdir(), 'uploads-'));
afterAll(() => rmSync(common, { recursive: true, force: true }));
const shared = sharedServers();
/** For tests that leave nothing in its folder, whatever becomes of its workers. */
const startShared = (): Promise<ServerProcess> =>
  shared('uploads.js', { options: { workerNum: 2, reactorNum: 1, maxWaitMs: 300 }, env: { TMPDIR: common } });

const TYPE = 'Content-Type: multipart/form-data; boundary=XX';
const FORM = '--XX\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\ncontent\r\n--XX--\r\n';

/** Sends a form. @returns when it has come: where its file lies */
async function upload(server: ServerProcess, path: string): Promise<{ client: HttpClient; file: string }> {
  const before = server.events('form').length;
  const client = await HttpClient.connect(server.port);
  client.tcp.socket.on('error', () => {});
  client.send(post(path, FORM, TYPE));
  const line = await server.waitFor('the form', () => server.events('form')[before]);
  return { client, file: (line['files'] as string[])[0] as string };
}

/** Folders of forms; anything else is not looked at. */
const left = (place = usual): string[] => readdirSync(place).filter((name) => name.startsWith('tswoole-form-'));
const nothingIsLeft = (place = usual) => poll('nothing is left of forms', () => left(place).length === 0);

describe('files of a form', () => {
  it('lie in a folder that names its owner, and go with the answer', async () => {
    const server = await startShared();
    const { client, file } = await upload(server, '/answer');
    expect(file.startsWith(`${common}/`)).toBe(true);
    expect(file.slice(common.length)).toMatch(/^\/tswoole-form-[0-9a-f]{8}-\d+-\d+-\w{6}\/0$/);
    expect((await client.answer()).body).toBe('1');
    await nothingIsLeft(common);
    await client.close();
  });

  it.each(['usual', 'other'])('are gone after an orderly end, answered or not (%s folder)', async (which) => {
    const server = await start({}, which === 'other' ? { FOLDER: other } : {});
    const held = await upload(server, '/hold');
    expect(existsSync(held.file)).toBe(true);
    await server.stop();
    expect([left(usual), left(other)]).toEqual([[], []]);
  });

  it('that is not complete are gone after an orderly end', async () => {
    const server = await start();
    const client = await HttpClient.connect(server.port);
    client.tcp.socket.on('error', () => {});
    client.send(post('/partly', FORM.padEnd(500_000, 'x'), TYPE).slice(0, 200));
    await server.waitForEvent('partly');
    await poll('a file has begun', () => left().length === 1);
    await server.stop();
    expect(left()).toEqual([]);
  });

  it('are gone after a reload, answered or not', async () => {
    const server = await startShared();
    const held = await upload(server, '/hold');
    const before = server.events('workerStart').length;
    server.signal('SIGUSR1');
    await server.waitFor('new workers', () => server.events('workerStart').length >= before + 2);
    await nothingIsLeft(common);
    expect(existsSync(held.file)).toBe(false);
  });

  it.each([
    ['process.exit', '/exit'],
    ['an error that nobody catches', '/throw'],
  ])('are gone after %s', async (_, path) => {
    const server = await startShared();
    const { file } = await upload(server, path);
    await poll('its folder is gone', () => !existsSync(file));
    await nothingIsLeft(common);
  });

  it.each(['usual', 'other'])('that a killed worker left are removed by its successor (%s folder)', async (which) => {
    const server = await start({ workerNum: 2 }, which === 'other' ? { FOLDER: other } : {});
    const living = await upload(server, '/hold');
    const { file } = await upload(server, '/kill');
    await server.waitFor('the successor', () => server.events('workerStart').length >= 3);
    await poll('what the killed one left is gone', () => !existsSync(file));
    // Those of another worker, if it was another one, stay.
    const killed = server.events('form').at(-1)?.pid;
    const owner = server.events('form')[0]?.pid;
    if (owner !== killed) expect(existsSync(living.file)).toBe(true);
  });

  it('that a killed server left are removed by the next one', async () => {
    const server = await start();
    const { file } = await upload(server, '/hold');
    for (const { pid } of server.tree().reverse()) server.signal('SIGKILL', pid);
    await server.silent;
    await server.stop().catch(() => {});
    expect(existsSync(file)).toBe(true);
    await start();
    await nothingIsLeft();
  });
});

describe('the look at the start', () => {
  const old = (path: string): string => {
    utimesSync(path, 1, 1);
    return path;
  };
  /** A pid that was, and is no more. */
  const dead = (): number => spawnSync('true').pid;

  it('leaves alone what is not of a process that has ended', async () => {
    const first = await start();
    const { file } = await upload(first, '/hold');
    const scope = /tswoole-form-([0-9a-f]{8})-/.exec(file)?.[1];
    const kept = [
      'tswoole-form-abcdef',
      `tswoole-form-${scope}-${dead()}-1-short`,
      `x-tswoole-form-${scope}-1-1-abcdef`,
    ];
    for (const name of kept) mkdirSync(join(usual, name));
    const outside = join(folder, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'file'), 'x');
    const link = `tswoole-form-${scope}-${dead()}-1-linked`;
    symlinkSync(outside, join(usual, link));
    const plain = `tswoole-form-${scope}-${dead()}-1-filexx`;
    writeFileSync(join(usual, plain), 'x');
    const foreign = `tswoole-form-12345678-${dead()}-1-youngx`;
    mkdirSync(join(usual, foreign));
    const gone = ['gonexx', 'gonexy'].map((end) => join(usual, `tswoole-form-${scope}-${dead()}-1-${end}`));
    for (const path of gone) mkdirSync(path);
    // A link within what is removed is removed, and not what it leads to.
    symlinkSync(outside, join(gone[0] as string, 'link'));
    const ofContainer = old(mkdtempSync(join(usual, `tswoole-form-12345678-${dead()}-1-`)));

    const second = await start();
    await poll('what is of nobody is gone', () => ![...gone, ofContainer].some((path) => existsSync(path)));
    for (const name of [...kept, link, plain, foreign]) expect(existsSync(join(usual, name)), name).toBe(true);
    expect(existsSync(file)).toBe(true);
    expect(existsSync(join(outside, 'file'))).toBe(true);
    await second.stop();
    expect(existsSync(file)).toBe(true);
  });

  it.skipIf(process.getuid?.() !== 0)('works without the rights of root, on what is its own', async () => {
    chmodSync(folder, 0o755);
    chmodSync(usual, 0o1777);
    const nobody = Number(spawnSync('id', ['-u', 'nobody']).stdout);
    const asNobody = { user: 'nobody', group: 'nogroup' };
    const first = await start(asNobody);
    const { file } = await upload(first, '/hold');
    expect(statSync(file).uid).toBe(nobody);
    const scope = /tswoole-form-([0-9a-f]{8})-/.exec(file)?.[1];
    const [ofNobody = '', ofRoot = ''] = ['nobody', 'rootxx'].map((end) => `tswoole-form-${scope}-${dead()}-1-${end}`);
    for (const name of [ofNobody, ofRoot]) mkdirSync(join(usual, name));
    chownSync(join(usual, ofNobody), nobody, nobody);
    await start(asNobody);
    await poll('what was its own is gone', () => !existsSync(join(usual, ofNobody)));
    expect([existsSync(join(usual, ofRoot)), existsSync(file)]).toEqual([true, true]);
  });
});
