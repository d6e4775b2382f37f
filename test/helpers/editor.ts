/** TypeScript's language service as an editor talks to it: the protocol LSP, over the pipes of `tsc --lsp`. */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { type Consumer, TSC } from './consumer.js';
import { DEADLINE_MS } from './deadline.js';

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

interface Markup {
  readonly value: string;
}

export interface Suggestion {
  readonly label: string;
  readonly detail?: string;
  readonly documentation?: Markup;
}

/** A place in a file, as the protocol has it. */
export interface Cursor {
  readonly textDocument: { readonly uri: string };
  readonly position: { readonly line: number; readonly character: number };
}

/** Of what is shown over a name, what stands below its type: the docstring. */
export function textOf(shown: string): string {
  return shown.replace(/^```.*?```/s, '').trim();
}

export class Editor {
  readonly #consumer: Consumer;
  readonly #service: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers = new Map<number, (message: Message) => void>();
  #received = Buffer.alloc(0);
  #calls = 0;
  #files = 0;

  private constructor(consumer: Consumer) {
    this.#consumer = consumer;
    this.#service = spawn(process.execPath, [TSC, '--lsp', '--stdio'], {
      cwd: consumer.folder,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.#service.stdout.on('data', (piece: Buffer) => this.#receive(piece));
  }

  static async open(consumer: Consumer): Promise<Editor> {
    const editor = new Editor(consumer);
    await editor.#ask('initialize', {
      processId: process.pid,
      rootUri: pathToFileURL(consumer.folder).href,
      capabilities: {
        textDocument: {
          hover: { contentFormat: ['markdown'] },
          completion: {
            completionItem: {
              documentationFormat: ['markdown'],
              resolveSupport: { properties: ['documentation', 'detail'] },
            },
          },
        },
      },
    });
    editor.#send({ method: 'initialized', params: {} });
    return editor;
  }

  /** Opens a file in which `|` marks where the cursor is. @returns what is shown there, as `hoverAt` */
  hover(marked: string): Promise<string> {
    return this.hoverAt(this.open(marked)[0] as Cursor);
  }

  /** As `hover`. @returns what is suggested there, as `suggestionsAt` */
  suggestions(marked: string): Promise<Suggestion[]> {
    return this.suggestionsAt(this.open(marked)[0] as Cursor);
  }

  /**
   * Opens a file in which each `|` marks a place for the cursor. One for many questions: with every file the service
   * looks at the whole project again.
   */
  open(marked: string): Cursor[] {
    const parts = marked.split('|');
    this.#files += 1;
    const name = `file-${this.#files}.ts`;
    const text = parts.join('');
    this.#consumer.write(name, text);
    const uri = pathToFileURL(join(this.#consumer.folder, name)).href;
    this.#send({
      method: 'textDocument/didOpen',
      params: { textDocument: { uri, languageId: 'typescript', version: 1, text } },
    });
    return parts.slice(1).map((_, nth) => {
      const before = parts
        .slice(0, nth + 1)
        .join('')
        .split('\n');
      return { textDocument: { uri }, position: { line: before.length - 1, character: before.at(-1)?.length ?? 0 } };
    });
  }

  /** What is shown at the cursor; '' for nothing. */
  async hoverAt(cursor: Cursor): Promise<string> {
    const result = (await this.#ask('textDocument/hover', cursor)) as { contents: Markup } | null;
    return result?.contents.value ?? '';
  }

  /** What the editor suggests at the cursor, each with its documentation as it shows it beside the list. */
  async suggestionsAt(cursor: Cursor): Promise<Suggestion[]> {
    const result = (await this.#ask('textDocument/completion', cursor)) as
      | { readonly items: Suggestion[] }
      | Suggestion[];
    const items = 'items' in result ? result.items : result;
    return Promise.all(items.map((item) => this.#ask('completionItem/resolve', item) as Promise<Suggestion>));
  }

  async close(): Promise<void> {
    const ended = once(this.#service, 'exit');
    await this.#ask('shutdown', undefined);
    this.#send({ method: 'exit' });
    this.#service.stdin.end();
    await ended;
  }

  #ask(method: string, params: unknown): Promise<unknown> {
    this.#calls += 1;
    const id = this.#calls;
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error(`no answer to ${method}`)), DEADLINE_MS);
      this.#answers.set(id, ({ result, error }) => {
        clearTimeout(deadline);
        if (error === undefined) resolve(result);
        else reject(new Error(`${method}: ${error.message}`));
      });
      this.#send({ id, method, params });
    });
  }

  #send(message: Message): void {
    const text = JSON.stringify({ jsonrpc: '2.0', ...message });
    this.#service.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }

  #receive(piece: Buffer): void {
    this.#received = Buffer.concat([this.#received, piece]);
    while (true) {
      const head = this.#received.indexOf('\r\n\r\n');
      if (head === -1) return;
      const length = Number(/content-length: (\d+)/i.exec(this.#received.toString('latin1', 0, head))?.[1]);
      const end = head + 4 + length;
      if (this.#received.length < end) return;
      const message = JSON.parse(this.#received.toString('utf8', head + 4, end)) as Message;
      this.#received = this.#received.subarray(end);
      this.#take(message);
    }
  }

  #take({ id, method, params, ...answer }: Message): void {
    if (id === undefined) return; // the service tells of something
    if (method !== undefined) {
      // The service asks: for settings, of which there are none, or to be told of something.
      const { items = [] } = (params ?? {}) as { readonly items?: readonly unknown[] };
      this.#send({ id, result: method === 'workspace/configuration' ? items.map(() => null) : null });
      return;
    }
    this.#answers.get(id)?.({ id, ...answer });
    this.#answers.delete(id);
  }
}
