import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it } from 'vitest';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';

afterEach(endCommandLines);

const hasNc = spawnSync('nc', ['-h']).error === undefined;

class Peer {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  readonly #lines: AsyncIterator<string>;

  constructor(path: string) {
    this.socket = connect(path);
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()));
    this.#lines = createInterface({ input: this.socket })[Symbol.asyncIterator]();
  }

  async next(): Promise<{ id: number; result?: unknown; error?: { code: string } }> {
    const { value } = await this.#lines.next();
    return JSON.parse(value as string) as { id: number };
  }
}

async function started(): Promise<{ line: CommandLine; path: string; pid: number }> {
  const line = new CommandLine();
  const { pid } = await line.daemon('--log-file', 'it.log');
  return { line, path: join(line.runDir, `${pid}.sock`), pid };
}

const faults: readonly (readonly [text: string, id: number, code: string | undefined])[] = [
  ['no JSON', 0, 'ERR_COMMAND_REQUEST'],
  ['[1]', 0, 'ERR_COMMAND_REQUEST'],
  ['{"id":"x","command":"status"}', 0, 'ERR_COMMAND_REQUEST'],
  ['{"id":4}', 4, 'ERR_COMMAND_REQUEST'],
  ['{"id":5,"command":"status","arguments":[]}', 5, 'ERR_COMMAND_REQUEST'],
  ['{"id":6,"command":"statsu"}', 6, 'ERR_COMMAND_UNKNOWN'],
  ['{"id":7,"command":"__proto__"}', 7, 'ERR_COMMAND_UNKNOWN'],
  ['{"id":8,"command":"status","arguments":{"x":1}}', 8, 'ERR_OPTION_UNKNOWN'],
  ['{"id":9,"command":"scale","arguments":{"workerNum":"2"}}', 9, 'ERR_OPTION_TYPE'],
  ['{"id":10,"command":"stopWorker"}', 10, 'ERR_OPTION_TYPE'],
  ['{"id":11,"command":"fails"}', 11, undefined],
];

describe('the control socket', () => {
  it('answers requests as they are ready, several at once', async () => {
    const { path, pid } = await started();
    const peer = new Peer(path);
    const requests = [
      { id: 1, command: 'reload' },
      { id: 2, command: 'greet', arguments: { name: 'Ada' } },
    ];
    peer.socket.write(requests.map((request) => `${JSON.stringify(request)}\n`).join(''));
    expect(await peer.next()).toEqual({ id: 2, result: { hello: 'Ada', pid } });
    expect(await peer.next()).toEqual({ id: 1, result: { generation: 1 } });
    peer.socket.destroy();
  });

  it('answers what it cannot carry out with an error, and goes on', async () => {
    const { path } = await started();
    const peer = new Peer(path);
    for (const [text, id, code] of faults) {
      peer.socket.write(`${text}\n`);
      const answer = await peer.next();
      expect([text, answer.id]).toEqual([text, id]);
      expect(answer.error).toMatchObject(code === undefined ? { message: 'it is not my day' } : { code });
      peer.socket.write('{"id":99,"command":"status"}\n');
      expect((await peer.next()).id).toBe(99);
    }
    peer.socket.destroy();
  });

  it('ends with who sends lines without an end, and with more than it takes at once; others are served', async () => {
    const { line, path } = await started();
    const flood = new Peer(path);
    flood.socket.write('x'.repeat(2_000_000));
    expect((await flood.next()).error?.code).toBe('ERR_COMMAND_REQUEST');
    await flood.closed;
    const crowd = Array.from({ length: 90 }, () => new Peer(path));
    await Promise.race(crowd.map(({ closed }) => closed));
    for (const { socket } of crowd) socket.destroy();
    await Promise.all(crowd.map(({ closed }) => closed));
    expect((await line.report()).status.phase).toBe('running');
  });

  it.skipIf(process.getuid?.() !== 0 || !hasNc)(
    'hears no other user, also when the file would let them in',
    async () => {
      const { line, path } = await started();
      for (const folder of [line.folder, line.runDir]) chmodSync(folder, 0o755);
      chmodSync(path, 0o666);
      const args = ['--reuid', '65534', '--clear-groups', 'nc', '-U', path];
      const input = '{"id":1,"command":"shutdown"}\n';
      const { stdout, stderr } = spawnSync('setpriv', args, { encoding: 'utf8', input, timeout: 5000 });
      expect(stdout + stderr).toContain('ERR_CONTROL_PEER');
      chmodSync(line.runDir, 0o700);
      expect((await line.report()).status.phase).toBe('running');
    },
  );
});
