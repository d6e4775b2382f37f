/**
 * Carries a profile from the process that took it to the master, which returns it over HTTP: the profile lies in the file
 * for large data, and the control message names its pieces. So no process writes a file at a remote client's path, and a
 * process without rights, or with another root directory, can be profiled too.
 */
import type { ProfilePiece } from '../ipc/message.js';
import { type ProfileWish, takeProfile } from '../util/profile.js';
import type { Overflow } from './overflow.js';

const PIECE_BYTES = 4 * 1024 * 1024;
/** No developer tool opens the snapshot of a heap of several GiB. */
const LIMIT_BYTES = 2 * 1024 * 1024 * 1024;

/** Runs in the profiled process. @throws an Error when the profile cannot be taken, or is larger than 2 GiB */
export async function leaveProfile(wish: ProfileWish, overflow: Overflow): Promise<ProfilePiece[]> {
  const pieces: ProfilePiece[] = [];
  let held: Buffer[] = [];
  let heldBytes = 0;
  const putDown = (): void => {
    if (heldBytes === 0) return;
    const offset = overflow.reserve(heldBytes);
    pieces.push({ offset, bytes: heldBytes });
    overflow.write(offset, Buffer.concat(held, heldBytes));
    held = [];
    heldBytes = 0;
  };
  let total = 0;
  try {
    await takeProfile(wish, (piece) => {
      total += piece.length;
      if (total > LIMIT_BYTES) throw new Error(`it is larger than ${LIMIT_BYTES} bytes`);
      held.push(piece);
      heldBytes += piece.length;
      if (heldBytes >= PIECE_BYTES) putDown();
    });
    putDown();
    return pieces;
  } catch (error) {
    for (const { offset, bytes } of pieces) overflow.free(offset, bytes);
    throw error;
  }
}

/** A profile left by a process, as the master reads it. */
export class LeftProfile {
  readonly #pieces: readonly ProfilePiece[];
  readonly #overflow: Overflow;

  constructor(pieces: readonly ProfilePiece[], overflow: Overflow) {
    this.#pieces = pieces;
    this.#overflow = overflow;
  }

  get bytes(): number {
    return this.#pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async *read(): AsyncGenerator<Buffer> {
    for (const { offset, bytes } of this.#pieces) yield await this.#overflow.read(offset, bytes);
  }

  /** Call it once, whether the profile was read or not. */
  free(): void {
    for (const { offset, bytes } of this.#pieces) this.#overflow.free(offset, bytes);
  }
}
