/**
 * A message for a process that has been replaced: answers to what it has asked come to its id, and so to its successor, which
 * passes them on by way of the manager.
 */
import { deserialize, serialize } from 'node:v8';

/** Of a line between manager and worker, with room for what is around it. */
const MOST_CHARACTERS = 1_000_000;

/** @returns undefined: it is too long to be passed on */
export function packForPredecessor(message: unknown): string | undefined {
  const packed = serialize(message).toString('base64');
  return packed.length <= MOST_CHARACTERS ? packed : undefined;
}

export function unpackForPredecessor(packed: string): unknown {
  return deserialize(Buffer.from(packed, 'base64'));
}
