import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CommandTable } from '../../src/control/commands.js';
import type { Controlled } from '../../src/control/controlled.js';
import { ControlServer } from '../../src/control/server.js';
import { Log } from '../../src/util/log.js';

/** Whose client it is: the kernel knows. */
const peer = vi.hoisted(() => ({ uid: 0 as number | undefined }));
vi.mock('../../src/os/peer.js', () => ({ peerUid: () => peer.uid }));

const US = 1000;
const ANOTHER = 1001;

let folder: string;
let server: ControlServer;
let log: string[];

beforeEach(async () => {
  vi.spyOn(process, 'getuid').mockReturnValue(US);
  folder = mkdtempSync(join(tmpdir(), 'peer-'));
  log = [];
  const output = new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) });
  const own = new Map([['greet', () => 'hello']]);
  server = new ControlServer(new CommandTable({} as Controlled, own), output);
  await server.listen(join(folder, 's'));
});
afterEach(async () => {
  await server.close();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

/** All that the server answers until it ends the connection, or to the one command. */
const ask = (): Promise<string> =>
  new Promise((resolve) => {
    let text = '';
    const socket = connect(join(folder, 's'), () => socket.write('{"id":1,"command":"greet"}\n'));
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      if (text.includes('hello')) socket.destroy();
    });
    socket.on('error', () => {}).on('close', () => resolve(text));
  });

describe('a client of the control socket', () => {
  it.each([
    ['of this user', US],
    ['of root', 0],
  ])('%s is served', async (_, uid) => {
    peer.uid = uid;
    expect(JSON.parse(await ask())).toEqual({ id: 1, result: 'hello' });
    expect(log).toEqual([]);
  });

  it('of another user is turned away, told why, and logged', async () => {
    peer.uid = ANOTHER;
    expect(JSON.parse(await ask())).toMatchObject({
      id: 0,
      error: { code: 'ERR_CONTROL_PEER', detail: { uid: ANOTHER } },
    });
    expect(log).toEqual([expect.stringContaining('another user has connected to the control socket')]);
  });

  it('of nobody knows whom is ended without a word', async () => {
    peer.uid = undefined;
    expect([await ask(), log]).toEqual(['', []]);
  });
});
