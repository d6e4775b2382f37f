/** What this process inherits from its parent; undefined in the process that a user has started. */
import { borrowStandardError } from '../ipc/boot-output.js';
import { type Inheritance, takeInheritance } from '../ipc/inheritance.js';
import { leaveLastWords } from '../ipc/last-words.js';

/** Read once: the variable is gone afterwards. */
let inheritance: Inheritance | undefined;
let inheritanceTaken = false;

export function inherited(): Inheritance | undefined {
  if (!inheritanceTaken) {
    inheritance = takeInheritance();
    inheritanceTaken = true;
    if (inheritance !== undefined) leaveLastWords();
    borrowStandardError(inheritance?.standardError);
  }
  return inheritance;
}

/** The name of this process in the log. */
export function nameOfProcess(): string {
  const given = inherited();
  if (given === undefined) return 'master';
  if (given.role === 'manager') return 'manager';
  return `${NAMES[given.role]} ${given.id}`;
}

const NAMES = { worker: 'worker', task: 'task worker', user: 'process' } as const;
