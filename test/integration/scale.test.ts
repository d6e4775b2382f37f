import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { eventually } from '../helpers/eventually.js';
import { poll } from '../helpers/server-process.js';
import { foreground, look, tell } from '../helpers/shared-lines.js';

afterEach(endCommandLines);

/** Asks without a pause, several lines at once, until it is told to end. Every answer must come, in order. */
class Asker {
  readonly client: Client;
  readonly workers = new Set<string>();
  sent = 0;
  #ends = false;
  readonly done: Promise<void>;

  constructor(client: Client) {
    this.client = client;
    this.done = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#ends) {
      const from = this.sent;
      this.client.text = '';
      for (let i = 0; i < 5; i++) this.client.write(`${this.sent++}\n`);
      await this.client.until('five answers', () => this.client.text.split('\n').length === 6);
      const answers = this.client.text
        .trim()
        .split('\n')
        .map((text) => text.split(' '));
      expect(answers.map(([number]) => Number(number))).toEqual([from, from + 1, from + 2, from + 3, from + 4]);
      for (const [, , worker = ''] of answers) this.workers.add(worker);
    }
  }

  end(): Promise<void> {
    this.#ends = true;
    return this.done;
  }
}

describe.each(['least-connections', 'round-robin', 'uid-mod'])('with dispatch mode %s', (mode) => {
  it('workers come and go under load: no answer is lost, none overtakes another', async () => {
    const line = new CommandLine();
    const { port } = await foreground(line, '--max-worker-num', '5', '--dispatch-mode', mode);
    const askers = (await Client.openMany(port, 12)).map((client) => new Asker(client));
    for (const workerNum of [5, 1, 3]) {
      await tell(line, 'scale', { workerNum });
      const { workers, status } = await look(line);
      expect(workers.map(({ id }) => id)).toEqual(Array.from({ length: workerNum }, (_, id) => id));
      expect(status.workerNum).toBe(workerNum);
      const connections = workers.reduce((sum, worker) => sum + worker.connections, 0);
      expect(connections).toBe(12);
    }
    const late = (await Client.openMany(port, 9)).map((client) => new Asker(client));
    await Promise.all([...askers, ...late].map((asker) => asker.end()));
    const last = await look(line);
    expect(last.stats.callbackErrors).toBe(0);
    // Also what those have done that are no longer there.
    expect(last.stats.requestCount).toBe([...askers, ...late].reduce((sum, { sent }) => sum + sent, 0));
    expect(last.stats.workerRestarts).toBe(0);
    for (const { client } of askers) client.socket.destroy();
  });
});

describe('the number of workers', () => {
  it('is changed by one at a time, and within its limits', async () => {
    const line = new CommandLine();
    await foreground(line, '--max-worker-num', '4');
    expect(await line.run('scale', '5')).toMatchObject({ code: 1, stderr: expect.stringContaining('maxWorkerNum') });
    expect(await line.run('scale', '0')).toMatchObject({ code: 2 });
    const hold = join(line.folder, 'hold');
    writeFileSync(hold, '');
    const first = line.run('scale', '4');
    await eventually(() => expect(existsSync(join(line.folder, 'held'))).toBe(true));
    expect(await line.run('scale', '3')).toMatchObject({ code: 1 });
    rmSync(hold);
    expect(await first).toMatchObject({ code: 0 });
    expect(await line.must('scale', '2')).toContain('2 workers');
    const gone = await line.run('worker', 'stop', '3');
    expect(gone).toMatchObject({ code: 2, stderr: expect.stringContaining('2 workers run now') });
    expect(await line.must('scale', '+1')).toContain('3 workers');
  });

  it('cannot change in BASE mode', async () => {
    const line = new CommandLine();
    await foreground(line, '--mode', 'base');
    expect(await line.run('scale', '1')).toMatchObject({ code: 1, stderr: expect.stringContaining('BASE mode') });
    expect(await line.run('start', line.script, '--mode', 'base', '--max-worker-num', '5')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('ERR_OPTION_CONFLICT'),
    });
  });

  it('goes down although a worker hangs: it is killed, and what waited for it is answered by another', async () => {
    const line = new CommandLine();
    const { port } = await foreground(line, '--max-wait-ms', '500');
    const clients = await Client.openMany(port, 8);
    const workers = await Promise.all(clients.map(async (client) => (await client.ask('a')).split(' ')[2]));
    const victim = clients[workers.indexOf('1')] as Client;
    victim.write('spin\n');
    victim.write('b\n');
    expect(await line.must('scale', '1')).toContain('1 worker');
    await victim.until('its second line is answered', () => /^b \d+ /m.test(victim.text));
    expect(await victim.ask('c')).toMatch(/^c \d+ 0$/);
  });

  it('survives the death of the manager in between', async () => {
    const line = new CommandLine();
    const { port } = await foreground(line, '--max-worker-num', '4');
    const client = await Client.open(port);
    const { status } = await look(line);
    const scaling = line.run('scale', '4');
    await poll('a new worker boots', () => line.tree().filter(({ title }) => title.includes(': worker')).length > 2);
    process.kill(status.managerPid, 'SIGKILL');
    const { code } = await scaling;
    expect(await client.ask('a')).toMatch(/^a /);
    const expected = code === 0 ? 4 : 2;
    expect((await look(line)).status.workerNum).toBe(expected);
    expect(await line.must('scale', '1')).toContain('1 worker');
    expect(await client.ask('b')).toMatch(/^b \d+ 0$/);
  });
});
