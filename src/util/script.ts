/** The file the user has started: the program of every process, unless one of our programs runs it (`start --http`). */
let given: string | undefined;

export function scriptPath(): string | undefined {
  return given ?? process.argv[1];
}

/** This process runs one of our programs, which loads the user's file. */
export function setScriptPath(path: string): void {
  given = path;
}
