/**
 * Sets the title of a process from its first moment, by an argument of Node. `process.title` cannot grow beyond the
 * original argv, so the argument also makes room for a longer one. argv[0] stays, because Node prints it in its advice
 * ("Use `node --trace-warnings ...`").
 */

const ARGUMENT = '--title=';
const ROOM = 96;

export function titleArgument(title: string): string {
  return ARGUMENT + title.padEnd(ROOM);
}

export function isTitleArgument(argument: string): boolean {
  return argument.startsWith(ARGUMENT);
}

/** Keeps the argument from processes and threads that this process starts. */
export function forgetTitleArgument(): void {
  process.execArgv = process.execArgv.filter((argument) => !isTitleArgument(argument));
}
