/** Values as other processes get them: by the structured clone algorithm. */
import { serialize } from 'node:v8';
import { ServerError } from '../errors/index.js';

/** @throws ServerError ERR_DATA_NOT_CLONEABLE */
export function clonedBytes(value: unknown): Buffer {
  try {
    return serialize(value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ServerError('ERR_DATA_NOT_CLONEABLE', { why }, { cause: error });
  }
}
