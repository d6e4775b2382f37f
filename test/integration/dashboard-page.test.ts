// The dashboard in a browser, against a real server.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Chromium, type Page } from '../helpers/chromium.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { PACE } from '../helpers/deadline.js';
import { eventually } from '../helpers/eventually.js';
import { hasProgram } from '../helpers/wrk.js';

const TOKEN = 'a-token-that-changes';
const READ_TOKEN = 'a-token-that-only-reads';

let browser: Chromium | undefined;
const clients: Socket[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await browser?.close();
  browser = undefined;
  await endCommandLines();
});

describe.skipIf(!hasProgram('chromium'))('the dashboard in a browser', { timeout: 120_000 * PACE }, () => {
  it('shows live figures, a killed worker, a blocked one; closes a connection, reloads, scales', async () => {
    const world = await World.open();
    const { page, line } = world;
    await world.show('overview');
    await eventually(async () => expect(await page.texts('tr[data-process] th')).toEqual(['worker 0', 'worker 1']));

    const clientsBefore = await world.figure('connections');
    const client = await world.client('hello');
    await eventually(async () => expect(await world.figure('connections')).toBe(String(Number(clientsBefore) + 1)));

    const killed = Number((await world.cells('worker 0', 'pid'))[0]);
    process.kill(killed, 'SIGKILL');
    await eventually(async () => expect((await world.cells('worker 0', 'pid'))[0]).not.toBe(String(killed)));
    await world.show('ends');
    await eventually(async () => expect((await page.texts('tbody tr'))[0]).toContain(`worker 0${killed}SIGKILL`));

    await world.show('connections');
    await eventually(async () => expect(await page.texts('tbody tr')).toHaveLength(1));
    const closed = once(client, 'close');
    await world.act('Close');
    await closed;
    await eventually(async () => expect(await page.texts('tbody tr')).toEqual([]));

    await world.show('overview');
    await world.act('Reload');
    await eventually(async () => expect(await page.texts('.banner')).toContain('Reloaded: generation 1×'));
    await world.act('+ worker');
    await eventually(async () => expect(await page.texts('tr[data-process] th')).toContain('worker 2'));

    const stuck = await world.client('spin');
    await eventually(async () => expect(await page.texts('tr.still .state')).not.toEqual([]));
    expect((await page.texts('tr.still .state'))[0]).toContain('stands still');
    stuck.destroy();
    expect(world.complaints).toEqual([]);
    expect(world.hosts).toEqual(new Set([new URL(world.url).host]));
    await line.must('stop');
    await eventually(async () => expect(await page.texts('.banner.bad')).not.toEqual([]));
  });

  it('comes back by itself when the server does', async () => {
    const world = await World.open();
    await world.show('overview');
    await eventually(async () => expect(await world.page.texts('.brand')).not.toEqual(['']));
    await world.line.must('restart');
    // Sessions lie in the master's memory, so the person logs in again.
    await eventually(async () => expect(await world.page.texts('form h1')).toEqual(['tswoole']));
    await world.logIn(TOKEN);
    await eventually(async () =>
      expect(await world.page.texts('tr[data-process] th')).toEqual(['worker 0', 'worker 1']),
    );
  });

  it('shows text as text, and nothing to press to those who may only look', async () => {
    const world = await World.open(READ_TOKEN);
    await world.client('throw <img src=x onerror="window.hurt=1"><script>window.hurt=1</script>');
    await world.show('log');
    await eventually(async () =>
      expect((await world.page.texts('.log')).join()).toContain('<script>window.hurt=1</script>'),
    );
    expect(await world.page.evaluate('window.hurt === undefined && document.querySelector(".log img") === null')).toBe(
      true,
    );
    for (const view of ['overview', 'connections', 'settings']) {
      await world.show(view);
      expect(await world.page.texts('main button.danger, .panel header button'), view).toEqual([]);
    }
    expect(world.complaints).toEqual([]);
  });

  it('refuses a wrong token, and says so', async () => {
    const world = await World.open('');
    await world.logIn('not-the-token-at-all');
    await eventually(async () => expect((await world.page.texts('[role=alert]')).join()).toContain('not the token'));
  });

  it('is no wider than a screen of 400 pixels', async () => {
    const world = await World.open();
    await world.page.resize(400, 800);
    for (const view of ['overview', 'connections', 'log', 'ends', 'settings', 'profile']) {
      await world.show(view);
      expect(await world.page.evaluate('document.documentElement.scrollWidth'), view).toBeLessThanOrEqual(400);
    }
  });
});

class World {
  readonly line = new CommandLine();
  readonly complaints: string[] = [];
  readonly hosts = new Set<string>();
  page!: Page;
  url = '';
  #port = 0;

  /** @param token to log in with; empty: it stays at the log-in */
  static async open(token = TOKEN): Promise<World> {
    const world = new World();
    // A port of its own, so that the page finds the server again behind a restart.
    const admin = { port: freePort(), dashboard: true, token: TOKEN, readToken: READ_TOKEN };
    const flags = ['--admin', JSON.stringify(admin), '--max-worker-num', '3', '--log-file', 'log'];
    world.#port = (await world.line.daemon(...flags)).port;
    world.url = (await world.line.report()).status.admin;
    browser = await Chromium.start();
    browser.listen((method, params) => world.#hear(method, params));
    world.page = await browser.open('about:blank');
    await world.page.observe();
    await world.page.goto(`${world.url}/dashboard/`);
    await eventually(async () => expect(await world.page.texts('form h1')).toEqual(['tswoole']));
    if (token !== '') {
      await world.logIn(token);
      await eventually(async () => expect(await world.page.texts('nav a')).toContain('Overview'));
    }
    return world;
  }

  async logIn(token: string): Promise<void> {
    await this.page.fill('input[name=token]', token);
    await this.page.click('form button', 'Log in');
  }

  async show(view: string): Promise<void> {
    await this.page.evaluate(`location.hash = '#/${view}'`);
    await eventually(async () => {
      expect(await this.page.evaluate(`document.querySelector('nav [aria-current]')?.getAttribute('href')`)).toBe(
        `#/${view}`,
      );
      expect(await this.page.texts('main h2')).not.toEqual([]);
    });
  }

  /** Presses the button, and says yes to its question. */
  async act(label: string): Promise<void> {
    await eventually(async () => expect(await this.page.click('main button', label)).toBe(true));
    await eventually(async () => expect(await this.page.click('dialog button.primary', label)).toBe(true));
  }

  async figure(label: string): Promise<string> {
    const found = (await this.page.texts('.figure')).find((text) => text.endsWith(label)) ?? '';
    return found.slice(0, -label.length);
  }

  cells(process: string, what: string): Promise<string[]> {
    return this.page.texts(`tr[data-process="${process}"] td[data-what="${what}"]`);
  }

  async client(line: string): Promise<Socket> {
    const socket = connect(this.#port, '127.0.0.1');
    socket.on('error', () => {});
    clients.push(socket);
    await once(socket, 'connect');
    socket.write(`${line}\n`);
    socket.resume();
    return socket;
  }

  #hear(method: string, params: Record<string, unknown>): void {
    if (method === 'Network.requestWillBeSent') {
      const { host, protocol } = new URL((params['request'] as { url: string }).url);
      if (protocol.startsWith('http')) this.hosts.add(host);
    }
    if (method === 'Runtime.exceptionThrown') this.complaints.push(JSON.stringify(params).slice(0, 500));
    const { source, text } = (params['entry'] ?? {}) as { source?: string; text?: string };
    if (method === 'Log.entryAdded' && (source === 'security' || source === 'violation'))
      this.complaints.push(text ?? '');
  }
}

/** Nobody listens on it now. */
function freePort(): number {
  const script = `const s = require('net').createServer().listen(0, '127.0.0.1', () => { console.log(s.address().port); s.close(); })`;
  return Number(spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' }).stdout);
}
