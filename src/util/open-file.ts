/** Opens files that the server writes by name: a link at that name could lead it to any file of its user. */
import { constants, openSync } from 'node:fs';

/**
 * open(2) that does not follow a link at the end of the path. Folders on the way may be links.
 * @throws an Error with `code`; for a link, with advice
 */
export function openUnlinked(path: string, flags: number, mode: number): number {
  try {
    return openSync(path, flags | constants.O_NOFOLLOW, mode);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ELOOP' && code !== 'EMLINK') throw error;
    throw Object.assign(new Error('it is a symbolic link, which is not followed: name the file itself'), { code });
  }
}
