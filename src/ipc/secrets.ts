/**
 * Passes options with secrets to a child by an inherited anonymous file. An environment would stay readable in /proc for
 * the life of the process, and would pass to its children. Runs in master and manager.
 */
import { closeSync } from 'node:fs';
import { secretsDescriptor, secretsForChild } from '../options/index.js';
import { shareText } from './shared-text.js';

const NONE = -1;
let made: number | undefined;

/** @returns the descriptor to inherit; −1: there are no secrets */
export function secretsToBequeath(): number {
  made ??= secretsDescriptor() === NONE ? write(secretsForChild()) : secretsDescriptor();
  return made;
}

function write(text: string): number {
  return text === '' ? NONE : shareText('tswoole options', text);
}

/** For a process that has read the secrets and has no children of the same server. */
export function letGoOfSecrets(): void {
  if (secretsDescriptor() !== NONE) closeSync(secretsDescriptor());
}
