/** The files of the page, read once, at the first request. Runs in the master. */
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';

export interface PageFile {
  readonly type: string;
  readonly bytes: Buffer;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
};

export class PageFiles {
  readonly #folder: string;
  /** By name: `index.html`, `assets/…`. Undefined until they have been read. */
  #files: ReadonlyMap<string, PageFile> | undefined;

  /** @param folder with `index.html` and `assets` */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The page has not been built: it is looked for again at the next request. */
  get isMissing(): boolean {
    return this.#read() === undefined;
  }

  /** @param name below the folder, with `/` */
  get(name: string): PageFile | undefined {
    return this.#read()?.get(name);
  }

  #read(): ReadonlyMap<string, PageFile> | undefined {
    if (this.#files !== undefined) return this.#files;
    try {
      const index = readFileSync(join(this.#folder, 'index.html'));
      const assets = readdirSync(join(this.#folder, 'assets'), { withFileTypes: true })
        .filter((entry) => entry.isFile() && extname(entry.name) in TYPES)
        .map(
          ({ name }) => [`assets/${name}`, this.#file(name, readFileSync(join(this.#folder, 'assets', name)))] as const,
        );
      this.#files = new Map([['index.html', this.#file('index.html', index)], ...assets]);
    } catch {
      return undefined;
    }
    return this.#files;
  }

  #file(name: string, bytes: Buffer): PageFile {
    return { type: TYPES[extname(name)] ?? 'application/octet-stream', bytes };
  }
}
