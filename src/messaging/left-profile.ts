/**
 * A profile on its way from the process that took it to the master, which answers with it over HTTP: it lies in the file
 * for large data, and the control message names its pieces. So no process writes a file at a path for a remote client,
 * and one without rights, or with another root directory, can be looked at all the same.
 */
import type { ProfilePiece } from '../ipc/message.js';
import { type ProfileWish, takeProfile } from '../util/profile.js';
import type { Overflow } from './overflow.js';

const PIECE_BYTES = 4 * 1024 * 1024;
/** A heap of several GiB makes a snapshot that no developer tool opens. */
const LIMIT_BYTES = 2 * 1024 * 1024 * 1024;

/** Runs in the process that is looked at. @throws an Error when it cannot be taken, or is larger than 2 GiB */
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

/** What a process has left, as the master reads it. */
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

  /** To be called once, whatever has become of it. */
  free(): void {
    for (const { offset, bytes } of this.#pieces) this.#overflow.free(offset, bytes);
  }
}
