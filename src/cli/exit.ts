/** Exit codes of the command line; docs/operating.md lists them. */

export const ExitCode = {
  ok: 0,
  /** The command was tried and failed. */
  failed: 1,
  /** Wrong usage. */
  usage: 2,
  /** No such server runs. */
  notRunning: 3,
  /** Several servers run, and none was chosen. */
  several: 4,
  /** The command took longer than allowed. */
  timedOut: 5,
  /** `status`: the server is still starting, or some of its processes do not stay up. */
  unwell: 6,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Printed to the user unchanged, without a stack. */
export class CliError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** With the code, which leads to docs/errors.md. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code: unknown = Reflect.get(error, 'code');
  const isTold = error.cause instanceof Error || (error.cause !== undefined && typeof error.cause !== 'object');
  const cause = isTold ? `\n  because: ${messageOf(error.cause)}` : '';
  return typeof code === 'string' && code.startsWith('ERR_')
    ? `${error.message} (${code})${cause}`
    : error.message + cause;
}
