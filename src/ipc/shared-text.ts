/** A text in an anonymous file, which children inherit by its descriptor and read whole. */
import { writeSync } from 'node:fs';
import { createSharedFile } from '../os/memory.js';

/** @returns its descriptor */
export function shareText(name: string, text: string): number {
  const bytes = Buffer.from(text, 'utf8');
  const descriptor = createSharedFile(name, bytes.length);
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at, bytes.length - at, at);
  return descriptor;
}
