/** Profiles that processes of the server take of themselves, at a command. Runs in the master. */
import { ServerError } from '../errors/index.js';
import type { MasterToManager, ProfileOrder, ProfilePiece } from '../ipc/message.js';
import { freeParts } from '../messaging/overflow.js';
import { type Deferred, deferred } from '../util/deferred.js';

/** Writing a large heap to a file takes its time. */
const GRACE_MS = 60_000;

export class Profiles {
  readonly #overflow: number;
  readonly #notify: (message: MasterToManager) => boolean;
  readonly #waiting = new Map<number, Deferred<readonly ProfilePiece[]>>();
  #last = 0;

  /** @param overflow the file for large data @param notify sends to the manager; false while there is none */
  constructor(overflow: number, notify: (message: MasterToManager) => boolean) {
    this.#overflow = overflow;
    this.#notify = notify;
  }

  /**
   * @param workerId −1: the manager
   * @returns where it lies in the file for large data; nothing when it was written to a path @throws ServerError ERR_PROFILE
   */
  async take(workerId: number, order: Omit<ProfileOrder, 'request'>): Promise<readonly ProfilePiece[]> {
    const request = ++this.#last;
    const done = deferred<readonly ProfilePiece[]>();
    this.#waiting.set(request, done);
    const late = setTimeout(
      () => this.done(request, 'the process does not answer: its event loop may stand still'),
      order.durationMs + GRACE_MS,
    );
    if (!this.#notify({ type: 'profile', workerId, profile: { ...order, request } })) {
      this.done(request, 'the manager is being replaced');
    }
    try {
      return await done.promise;
    } finally {
      clearTimeout(late);
    }
  }

  /** The manager is gone, and with it who could answer. */
  allFailed(why: string): void {
    for (const request of [...this.#waiting.keys()]) this.done(request, why);
  }

  done(request: number, failed: string | undefined, pieces: readonly ProfilePiece[] = []): void {
    const done = this.#waiting.get(request);
    this.#waiting.delete(request);
    if (done === undefined) freeParts(this.#overflow, pieces); // too late: no command waits for it any more
    if (failed === undefined) done?.resolve(pieces);
    else done?.reject(new ServerError('ERR_PROFILE', { why: failed }));
  }
}
