/** Files of a form, on disk until they are no longer needed. */
import { createWriteStream } from 'node:fs';
import { constants, copyFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, ServerError } from '../errors/index.js';
import { OwnedFolder } from './owned-folder.js';
import { codeOf } from './send-file.js';
import { holdPlace, knowPlace } from './upload-sweep.js';

export interface FileFacts {
  /** Of the field. */
  readonly name: string;
  /** From the client, without folders; not to be trusted. */
  readonly filename: string;
  /** From the client. */
  readonly type: string;
}

/** A file that came with a form. It is removed when the answer has ended or the client has gone, unless it is kept. */
export class UploadedFile implements FileFacts {
  /** Name of its field. */
  readonly name: string;
  /** Its name as sent by the client, without folders; not to be trusted. */
  readonly filename: string;
  /** Its media type as sent by the client; not to be trusted. */
  readonly type: string;
  /** Bytes. */
  readonly size: number;
  #path: string;
  #isKept = false;
  readonly #folder: UploadFolder;

  /** @internal */
  constructor(facts: FileFacts, size: number, path: string, folder: UploadFolder) {
    this.name = facts.name;
    this.filename = facts.filename;
    this.type = facts.type;
    this.size = size;
    this.#path = path;
    this.#folder = folder;
  }

  /** Where it lies now. Only the user of the server may read it (mode 0600). */
  get path(): string {
    return this.#path;
  }

  /**
   * Moves it to its final place, and replaces a file there.
   * @param path never one that was made of `filename` without a check
   * @throws ServerError ERR_HTTP_FORM_FILE
   */
  async keep(path: string): Promise<void> {
    if (typeof path !== 'string' || path === '' || path.includes('\0')) {
      throw new ServerError('ERR_HTTP_FORM_FILE', { path: describe(path), why: 'its path must be a text' });
    }
    const to = resolve(path);
    if (this.#isKept || this.#folder.isRemoved) {
      const why = this.#isKept ? 'it has been kept before' : 'it has been removed';
      throw new ServerError('ERR_HTTP_FORM_FILE', { path: to, why });
    }
    this.#isKept = true;
    await this.#folder.holdFor(move(this.#path, to)).catch((cause: unknown) => {
      this.#isKept = false;
      throw new ServerError('ERR_HTTP_FORM_FILE', { path: to, why: codeOf(cause) }, { cause });
    });
    this.#path = to;
  }
}

/**
 * The temporary folder of one form. It is created when the first file comes. It goes with the form, or with the
 * process; the successor of a killed process removes its folders (`upload-sweep.ts`).
 */
export class UploadFolder {
  readonly #parent: string;
  readonly #stop = new AbortController();
  #made: OwnedFolder | undefined;
  #release: () => void = () => {};
  #count = 0;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(parent: string) {
    this.#parent = parent;
  }

  get isRemoved(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Writes all of a stream into a file of its own. @throws ServerError ERR_HTTP_FORM_FILE */
  save(stream: Readable, facts: FileFacts): Promise<UploadedFile> {
    return this.holdFor(this.#save(stream, facts));
  }

  /** The folder stays until `work` is over. */
  async holdFor<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  /** Stops writing and removes all files that were not kept. Never fails: leftovers are in a temporary folder. */
  async remove(): Promise<void> {
    if (this.isRemoved) return;
    this.#stop.abort();
    await Promise.allSettled(this.#underWay);
    await this.#made?.remove();
    this.#release();
  }

  #folder(): OwnedFolder {
    if (this.#made !== undefined) return this.#made;
    knowPlace(this.#parent);
    this.#made = OwnedFolder.make(this.#parent);
    this.#release = holdPlace(this.#parent);
    return this.#made;
  }

  async #save(stream: Readable, facts: FileFacts): Promise<UploadedFile> {
    // The server chooses the names: a client's file name never becomes a path.
    const index = this.#count++;
    let path = this.#parent;
    try {
      path = join(this.#folder().path, String(index));
      const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
      await pipeline(stream, file, { signal: this.#stop.signal });
      return new UploadedFile(facts, file.bytesWritten, path, this);
    } catch (cause) {
      stream.resume();
      throw new ServerError('ERR_HTTP_FORM_FILE', { path, why: codeOf(cause) }, { cause });
    }
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (codeOf(error) !== 'EXDEV') throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    await rm(from, { force: true });
  }
}
