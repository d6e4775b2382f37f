// The dashboard in a browser, against a real server.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { Chromium, type Page } from '../helpers/chromium.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { PACE } from '../helpers/deadline.js';
import { freePort } from '../helpers/engine-process.js';
import { eventually } from '../helpers/eventually.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { foreground, look, sharedLines } from '../helpers/shared-lines.js';
import { hasProgram } from '../helpers/wrk.js';

const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url));
const TOKEN = 'a-token-that-changes';
const READ_TOKEN = 'a-token-that-only-reads';

/** The folder for pictures; undefined: none are drawn. */
const PICTURES = process.env['PICTURES'];
const PICTURE_AFTER_MS = 90_000;
const DRAWN = [
  ['light', 1280, 900, 'light'],
  ['dark', 1280, 900, 'dark'],
  ['narrow', 400, 800, 'light'],
] as const;

/** One for all tests, whose pages know nothing of each other; a new one after a failure. */
let browser: Chromium | undefined;
let context: string | undefined;
const clients: Socket[] = [];
/** For tests that leave a server as they have found it. */
const shared = sharedLines();
const served = (): Promise<Served> => shared('', () => serve());

async function closeBrowser(): Promise<void> {
  const last = browser;
  browser = undefined;
  context = undefined;
  await last?.close();
}

afterEach(async ({ task }) => {
  for (const client of clients.splice(0)) client.destroy();
  if (task.result?.state === 'fail') await closeBrowser();
  else if (context !== undefined) await browser?.removeContext(context);
  context = undefined;
  await endCommandLines();
});
afterAll(closeBrowser);

describe.skipIf(!hasProgram('chromium'))('the dashboard in a browser', { timeout: 120_000 * PACE }, () => {
  it('shows live figures, a killed worker, a blocked one; closes a connection, reloads, scales', async () => {
    const world = await World.open(TOKEN, await serve());
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
    await page.fill('input[aria-label="Number of workers"]', '9');
    await world.act('Scale');
    await eventually(async () => expect((await page.texts('.banner.bad')).join()).toMatch(/maxWorkerNum, which is 3/));
    await page.fill('input[aria-label="Number of workers"]', '2');
    await world.act('Scale');
    await eventually(async () => expect((await page.texts('.banner.good')).join()).toContain('2 workers run'));

    const stuck = await world.client('spin');
    await eventually(async () => expect(await page.texts('tr.still .state')).not.toEqual([]));
    expect((await page.texts('tr.still .state'))[0]).toMatch(/^hangs /);
    stuck.destroy();
    expect(world.complaints).toEqual([]);
    expect(world.hosts).toEqual(new Set([new URL(world.url).host]));
    await line.must('stop');
    await eventually(async () => expect(await page.texts('.banner.bad')).not.toEqual([]));
  });

  it('shows where a blocked worker stands, and a reload while it runs', async () => {
    const world = await World.open(TOKEN, await serve({ flags: ['--worker-timeout-ms', '60000'] }));
    const { page, line } = world;
    await world.show('overview');
    const held = join(line.folder, 'hold');
    writeFileSync(held, '');
    await world.act('Reload');
    await eventually(async () =>
      expect((await page.texts('.doing')).join()).toMatch(/reload: \d of 2 processes are of generation 1/),
    );
    rmSync(held);
    await eventually(async () => expect(await page.texts('.banner.good')).toContain('Reloaded: generation 1×'));
    await eventually(async () => expect(await page.texts('.doing')).toEqual([]));

    const stuck = await world.client('spin');
    await eventually(async () => expect((await page.texts('tr.still .stack')).join()).toMatch(/operated\.js:\d+:\d+/));
    stuck.destroy();
    await world.act('Kill');
    await eventually(async () => expect(await page.texts('tr.still')).toEqual([]));
    expect(world.complaints).toEqual([]);
  });

  it('shows ten thousand connections a page at a time', async () => {
    const world = await World.open(TOKEN, await serve({ flags: ['--max-connections', '12000'] }));
    const { page } = world;
    const count = Math.min(10_000, mostSockets());
    for (let opened = 0; opened < count; opened += 200)
      await Promise.all(Array.from({ length: Math.min(200, count - opened) }, () => world.client('')));
    await world.show('connections');
    await eventually(async () => expect(await page.texts('tbody tr')).toHaveLength(50));
    const first = (await page.texts('tbody td'))[0];
    await page.click('main button', 'Next');
    await eventually(async () => expect((await page.texts('tbody td'))[0]).not.toBe(first));
    expect(await page.texts('tbody tr')).toHaveLength(50);
    const bytes = `fetch('/api/connections?count=1000000').then(async (got) => [got.status, (await got.text()).length])`;
    const [status, length] = (await page.evaluate(bytes)) as [number, number];
    expect(status === 400 || (status === 200 && length < 1_000_000), `${status}, ${length} bytes`).toBe(true);
    expect(await page.evaluate('document.querySelectorAll("*").length')).toBeLessThan(3000);
    await world.show('overview');
    await eventually(async () =>
      expect(Number.parseFloat(await world.figure('connections'))).toBeGreaterThanOrEqual(
        count === 10_000 ? 10 : count,
      ),
    );
  });

  it('walks the flame graph by keys, with the focus seen', async () => {
    const world = await profiled();
    const { page } = world;
    const told = async (): Promise<string> => (await page.texts('.flame-told strong'))[0] ?? '';
    const press = (key: string): Promise<unknown> =>
      page.evaluate(
        `document.querySelector('canvas.flame').dispatchEvent(new KeyboardEvent('keydown', { key: '${key}', bubbles: true, cancelable: true }))`,
      );
    await page.evaluate(`document.querySelector('canvas.flame').focus({ focusVisible: true })`);
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
    expect(await page.evaluate('document.activeElement.getAttribute("aria-label")')).toMatch(/frames: arrow keys/);
    await press('ArrowDown');
    await eventually(async () => expect(await told()).toBe('all'));
    await press('ArrowDown');
    await eventually(async () => expect(await told()).not.toBe('all'));
    const chosen = await told();
    await press('Enter');
    expect(await told()).toBe(chosen);
    await press('Escape');
    await eventually(async () => expect(await told()).toBe('all'));
    expect(world.complaints).toEqual([]);
  });

  it('runs nothing of names, keys, log lines and errors that are markup', async () => {
    const world = await World.open(TOKEN, await serve({ fixture: 'hostile-names.js' }));
    const { page } = world;
    const connect = async (): Promise<WebSocket> => {
      const socket = new WebSocket(`ws://127.0.0.1:${world.port}`);
      await once(socket, 'open');
      return socket;
    };
    const socket = await connect();
    const markup = '<script>window.hurt=1</script><img src=x onerror="window.hurt=1">';
    await world.show('rooms');
    await eventually(async () => expect((await page.texts('tbody')).join()).toContain(markup));
    socket.send('throw');
    await world.show('log');
    await eventually(async () => expect((await page.texts('.log')).join()).toContain('<script>window.hurt=1'));
    const other = await connect(); // a callback that throws ends its connection
    other.send('exit');
    await world.show('ends');
    await eventually(async () => expect((await page.texts('tbody')).join()).toContain('<script>window.hurt=1'));
    await world.show('objects');
    expect(
      await page.evaluate('window.hurt === undefined && document.querySelector("main img, main script") === null'),
    ).toBe(true);
    expect(world.complaints).toEqual([]);
    expect(world.hosts).toEqual(new Set([new URL(world.url).host]));
    socket.terminate();
    other.terminate();
  });

  it.skipIf(!hasRedis)('shows durable jobs and schedules, has a dead one run again, and ends a schedule', async () => {
    const engine = await startRedis();
    try {
      const world = await World.open(TOKEN, await serve({ fixture: 'dead-jobs.js', env: { REDIS: engine.url } }));
      const { page } = world;
      await world.show('tasks');
      await eventually(async () => expect((await page.texts('tbody tr'))[0]).toBe('mail00001'));
      expect(await page.click('tbody button', '1')).toBe(true);
      const rows = async (): Promise<string> => (await page.texts('tbody tr')).join('\n');
      await eventually(async () => expect(await rows()).toMatch(/\nmail:one1.*<img src=x.*\{"to":"you"\}Retry$/));
      await world.act('Retry');
      await eventually(async () => expect(await page.texts('.banner.good')).toContain('Job mail:one runs again×'));
      await eventually(async () => expect(await world.line.must('jobs', 'dead', 'mail')).toContain('mail:one'));
      await eventually(async () => expect(await page.click('tbody button', 'report')).toBe(true));
      await eventually(async () =>
        expect(await rows()).toMatch(/\n<img src=x.*>0 12 15 jan \* \(UTC\)\d+-01-15 .*7Remove$/),
      );
      await world.act('Remove');
      const ended = 'Schedule <img src=x onerror="window.hurt=1"> has ended×';
      await eventually(async () => expect(await page.texts('.banner.good')).toContain(ended));
      await eventually(async () => expect(await rows()).not.toContain('Remove'));
      expect(await world.line.must('jobs', 'schedules', 'report')).toContain('There are no schedules');
      expect(await page.evaluate('window.hurt === undefined')).toBe(true);
      expect(world.complaints).toEqual([]);
    } finally {
      await engine.stop();
    }
  });

  it('comes back by itself when the server does', async () => {
    const world = await World.open(TOKEN, await serve({ isDaemon: true }));
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
    const world = await World.open(READ_TOKEN, await served());
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
    const world = await World.open('', await served());
    await world.logIn('not-the-token-at-all');
    await eventually(async () => expect((await world.page.texts('[role=alert]')).join()).toContain('not the token'));
  });

  it('is no wider than a screen of 400 pixels', async () => {
    const world = await World.open(TOKEN, await served());
    await world.page.resize(400, 800);
    for (const view of ['overview', 'connections', 'log', 'ends', 'settings', 'profile']) {
      await world.show(view);
      expect(await world.page.evaluate('document.documentElement.scrollWidth'), view).toBeLessThanOrEqual(400);
    }
  });
});

/** The pictures of docs/dashboard.md: `PICTURES=docs/images npx vitest run --project long dashboard-page -t drawn`. */
describe.runIf(PICTURES !== undefined)('the dashboard', { timeout: 600_000 }, () => {
  it('is drawn', async () => {
    const flags = ['--worker-num', '4', '--task-worker-num', '2', '--max-worker-num', '8', '--name', 'shop'];
    const world = await World.open(TOKEN, await serve({ flags }));
    const { page } = world;
    const sockets = await Promise.all(Array.from({ length: 120 }, () => world.client('')));
    await world.show('overview');
    const begin = performance.now();
    const load = setInterval(() => {
      const share = 0.5 + 0.3 * Math.sin((performance.now() - begin) / 15_000);
      const some = sockets.filter(() => Math.random() < share);
      for (const [index, socket] of some.entries()) socket.write(index % 9 === 0 ? 'task\n' : 'echo x\n');
    }, 100);
    try {
      await new Promise((resolve) => setTimeout(resolve, PICTURE_AFTER_MS));
      for (const [name, width, height, scheme] of DRAWN) {
        await page.prefer(scheme);
        await page.resize(width, height);
        await page.evaluate('new Promise((done) => setTimeout(done, 2500))'); // the charts are drawn once a second
        writeFileSync(join(PICTURES ?? '', `dashboard-${name}.webp`), await page.picture());
      }
    } finally {
      clearInterval(load);
    }
  });
});

/** At the flame graph of a worker that ran. */
async function profiled(): Promise<World> {
  const world = await World.open(TOKEN, await served());
  await world.show('profile');
  await world.page.evaluate(
    `(() => { const one = document.querySelector('select[aria-label=Seconds]'); one.value = '1'; one.dispatchEvent(new Event('change', { bubbles: true })); })()`,
  );
  const client = await world.client('hello');
  const busy = setInterval(() => client.write('echo x\n'.repeat(1000)), 5);
  try {
    await world.page.click('main button', 'CPU profile');
    await eventually(async () => expect(await world.page.texts('canvas.flame')).toHaveLength(1));
  } finally {
    clearInterval(busy);
  }
  return world;
}

/** How many clients this process may hold, of the descriptors it is allowed. */
function mostSockets(): number {
  const limit = Number(spawnSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).stdout);
  return Number.isNaN(limit) ? 10_000 : limit - 500;
}

interface ServeAs {
  readonly flags?: readonly string[];
  /** In place of operated.js. */
  readonly fixture?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly isDaemon?: boolean;
}

interface Served {
  readonly line: CommandLine;
  readonly url: string;
  readonly port: number;
}

async function serve({ flags: more = [], fixture, env, isDaemon = false }: ServeAs = {}): Promise<Served> {
  const line = new CommandLine(env);
  if (fixture !== undefined) copyFileSync(join(FIXTURES, fixture), line.script);
  // A port of its own, so that the page finds the server again behind a restart.
  const admin = { port: await freePort(), dashboard: true, token: TOKEN, readToken: READ_TOKEN };
  const flags = ['--admin', JSON.stringify(admin), '--max-worker-num', '3', '--log-file', 'log', ...more];
  const { port } = isDaemon ? await line.daemon(...flags) : await foreground(line, ...flags);
  return { line, port, url: (await look(line)).status.admin };
}

class World {
  readonly line: CommandLine;
  readonly complaints: string[] = [];
  readonly hosts = new Set<string>();
  readonly page: Page;
  readonly url: string;
  readonly port: number;

  private constructor({ line, url, port }: Served, page: Page) {
    this.line = line;
    this.url = url;
    this.port = port;
    this.page = page;
  }

  /** @param token to log in with; empty: it stays at the log-in */
  static async open(token: string, server: Served): Promise<World> {
    browser ??= await Chromium.start();
    context = await browser.newContext();
    const world = new World(server, await browser.open('about:blank', context));
    browser.listen((method, params) => world.#hear(method, params));
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
    const socket = connect(this.port, '127.0.0.1');
    socket.on('error', () => {});
    clients.push(socket);
    await once(socket, 'connect');
    if (line !== '') socket.write(`${line}\n`);
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
