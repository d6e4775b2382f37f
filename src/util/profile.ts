/** Profiles this process: its CPU time, or its heap. Chrome's developer tools open the files. */
import { closeSync, constants, openSync, rmSync, writeSync } from 'node:fs';
import { getHeapSnapshot } from 'node:v8';
import { importModule } from './import-module.js';

export interface ProfileWish {
  readonly kind: 'cpu' | 'heap';
  readonly durationMs: number;
}

/** Takes the profile piece by piece. A piece is valid only during the call. */
export type ProfileSink = (piece: Buffer) => void;

const OWNER_ONLY = 0o600;

/** @throws an Error when no profile can be taken, and errors of `sink`. A heap snapshot stops the process meanwhile. */
export async function takeProfile({ kind, durationMs }: ProfileWish, sink: ProfileSink): Promise<void> {
  if (kind === 'cpu') return sink(Buffer.from(await cpuProfile(durationMs)));
  for await (const piece of getHeapSnapshot() as AsyncIterable<Buffer | string>) {
    sink(typeof piece === 'string' ? Buffer.from(piece) : piece);
  }
}

/**
 * The same into a new file, with the rights of this process. The file must not exist, and links are not followed, so the
 * profile cannot replace a file. It is created before the time runs, so that a wrong path is reported at once; a process that
 * ends meanwhile, other than by SIGKILL, removes it.
 * @throws an Error with `code`, EEXIST if the path exists
 */
export async function writeProfile(wish: ProfileWish, path: string): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = openNew(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
  const remove = (): void => rmSync(path, { force: true }); // our own file, and incomplete
  process.once('exit', remove);
  try {
    await takeProfile(wish, (piece) => writeAll(file, piece));
  } catch (error) {
    remove();
    throw error;
  } finally {
    process.off('exit', remove);
    closeSync(file);
  }
}

function openNew(path: string, flags: number): number {
  try {
    return openSync(path, flags, OWNER_ONLY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new Error(`there is something at ${path} already, and a profile replaces nothing: name a new file`);
  }
}

function writeAll(file: number, piece: Buffer): void {
  for (let at = 0; at < piece.length; ) at += writeSync(file, piece, at);
}

async function cpuProfile(durationMs: number): Promise<string> {
  const { Session } = await importModule<typeof import('node:inspector/promises')>('node:inspector/promises'); // few processes ever need it
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await new Promise((resolve) => setTimeout(resolve, durationMs));
    const { profile } = await session.post('Profiler.stop');
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}
