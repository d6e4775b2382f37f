/**
 * The way of errors that their reader can mend: a wrong option, a call at the wrong time. How they are told depends on where
 * the files of this package lie, and on the role of the process: `src/server/told-error.ts` knows both and gives its function
 * here, so that every folder can throw such an error without importing the server.
 */
let prepare: (error: unknown) => void = () => undefined;

/** Called once, when that module is loaded. */
export function tellBy(teller: (error: unknown) => void): void {
  prepare = teller;
}

/**
 * To be called just before the throw, in the call of the user's code that was wrong, or behind the `await` of it.
 * @returns the error
 */
export function told<T>(error: T): T {
  prepare(error);
  return error;
}
