/** A process looks at itself: where its time goes, or what its memory holds. Read by Chrome's developer tools. */
import { writeFileSync } from 'node:fs';
import { writeHeapSnapshot } from 'node:v8';

export interface ProfileWish {
  readonly kind: 'cpu' | 'heap';
  readonly durationMs: number;
  readonly path: string;
}

/** @throws an Error when the file cannot be written. A heap snapshot stops the process while it is taken. */
export async function takeProfile({ kind, durationMs, path }: ProfileWish): Promise<void> {
  if (kind === 'heap') return void writeHeapSnapshot(path);
  const { Session } = await import('node:inspector/promises'); // few processes ever need it
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await new Promise((resolve) => setTimeout(resolve, durationMs));
    const { profile } = await session.post('Profiler.stop');
    writeFileSync(path, JSON.stringify(profile));
  } finally {
    session.disconnect();
  }
}
