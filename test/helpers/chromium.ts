/** Pages in a headless Chromium, driven over the DevTools protocol. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';
import { poll } from './server-process.js';

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly error?: { readonly message: string };
  readonly result?: Record<string, unknown>;
}

const FLAGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update', '--remote-debugging-port=0'],
];

export class Chromium {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #listeners: ((method: string, params: Record<string, unknown>) => void)[] = [];
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #asked = 0;

  private constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#socket = socket;
    socket.on('message', (data) => {
      const answer = JSON.parse(String(data)) as Answer;
      this.#waiting.get(answer.id ?? 0)?.(answer);
      if (answer.method !== undefined) for (const hear of this.#listeners) hear(answer.method, answer.params ?? {});
    });
  }

  /** Hears of every event of the protocol from now on. */
  listen(hear: (method: string, params: Record<string, unknown>) => void): void {
    this.#listeners.push(hear);
  }

  static async start(): Promise<Chromium> {
    const profile = mkdtempSync(join(tmpdir(), 'profile-'));
    const child = spawn('chromium', [...FLAGS, `--user-data-dir=${profile}`], { stdio: ['ignore', 'ignore', 'pipe'] });
    for await (const line of createInterface({ input: child.stderr })) {
      const [, url] = /DevTools listening on (ws:\S+)/.exec(line) ?? [];
      if (url === undefined) continue;
      child.stderr.resume();
      const socket = new WebSocket(url);
      await once(socket, 'open');
      return new Chromium(child, profile, socket);
    }
    throw new Error('chromium has ended before it listened');
  }

  /** @param context where the page keeps its cookies: see `newContext` */
  async open(url: string, context?: string): Promise<Page> {
    const { targetId } = await this.call('Target.createTarget', { url, browserContextId: context });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    return new Page(this, sessionId as string);
  }

  /** As another person's browser: with no cookie of other pages. It goes with its pages by `removeContext`. */
  async newContext(): Promise<string> {
    return (await this.call('Target.createBrowserContext', {}))['browserContextId'] as string;
  }

  async removeContext(context: string): Promise<void> {
    await this.call('Target.disposeBrowserContext', { browserContextId: context });
  }

  /** @internal */
  async call(method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.#asked;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    const { error, result = {} } = await answered;
    this.#waiting.delete(id);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  async close(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#socket.send(JSON.stringify({ id: 0, method: 'Browser.close' }));
    await exited;
    await removeProfile(this.#profile);
  }
}

/** Its children end a little later, and write there until then. (`maxRetries` of rmSync does not look for new files.) */
export function removeProfile(profile: string): Promise<unknown> {
  return poll('the profile is gone', () => {
    try {
      rmSync(profile, { recursive: true, force: true });
      return true;
    } catch {
      return false;
    }
  });
}

export class Page {
  readonly #browser: Chromium;
  readonly #sessionId: string;

  constructor(browser: Chromium, sessionId: string) {
    this.#browser = browser;
    this.#sessionId = sessionId;
  }

  /** @returns the value of an expression, as JSON brings it */
  async evaluate(expression: string): Promise<unknown> {
    const params = { expression, returnByValue: true, awaitPromise: true };
    const { result } = await this.#browser.call('Runtime.evaluate', params, this.#sessionId);
    return (result as { value?: unknown }).value;
  }

  async goto(url: string): Promise<void> {
    await this.#browser.call('Page.navigate', { url }, this.#sessionId);
  }

  /** Makes the page as wide and high as a screen of so many pixels. */
  async resize(width: number, height: number): Promise<void> {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: true };
    await this.#browser.call('Emulation.setDeviceMetricsOverride', metrics, this.#sessionId);
  }

  /** Has the browser tell of what its page logs, and of the requests that it sends. */
  async observe(): Promise<void> {
    for (const domain of ['Log', 'Runtime', 'Network'])
      await this.#browser.call(`${domain}.enable`, {}, this.#sessionId);
  }

  /** Types into the input that the selector finds. */
  async fill(selector: string, text: string): Promise<void> {
    await this.evaluate(`(() => {
      const input = document.querySelector(${JSON.stringify(selector)});
      input.value = ${JSON.stringify(text)};
      input.dispatchEvent(new Event('input', { bubbles: true }));
    })()`);
  }

  /** Clicks the first element of those that the selector finds whose text this is. @returns whether there is one */
  async click(selector: string, text: string): Promise<boolean> {
    const found = `[...document.querySelectorAll(${JSON.stringify(selector)})].find((one) => one.textContent.trim() === ${JSON.stringify(text)})`;
    return (await this.evaluate(`((one) => { one?.click(); return one !== undefined; })(${found})`)) as boolean;
  }

  /** A picture of what is seen, as WebP. */
  async picture(): Promise<Buffer> {
    const params = { format: 'webp', quality: 80 };
    const { data } = await this.#browser.call('Page.captureScreenshot', params, this.#sessionId);
    return Buffer.from(data as string, 'base64');
  }

  /** As the person's system says: `light` or `dark`. */
  async prefer(scheme: 'light' | 'dark'): Promise<void> {
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    await this.#browser.call('Emulation.setEmulatedMedia', { features }, this.#sessionId);
  }

  /** The texts of the elements that the selector finds. */
  async texts(selector: string): Promise<string[]> {
    const list = `[...document.querySelectorAll(${JSON.stringify(selector)})].map((one) => one.textContent)`;
    return (await this.evaluate(list)) as string[];
  }
}
