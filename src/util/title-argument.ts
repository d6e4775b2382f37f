/**
 * The title of a process from its first moment, by an argument of Node. `process.title` cannot grow past what argv had at the
 * start, so there is room for a longer one; and argv[0] stays what it is, as Node tells people to run it again by that name
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

/** It is no argument of processes and threads that this process starts. */
export function forgetTitleArgument(): void {
  process.execArgv = process.execArgv.filter((argument) => !isTitleArgument(argument));
}
