/** How the command line ends. docs/operating.md lists the codes. */

export const ExitCode = {
  ok: 0,
  /** It was tried and did not work. */
  failed: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** No such server runs. */
  notRunning: 3,
  /** Several servers run, and none was chosen. */
  several: 4,
  /** It takes longer than it may. */
  timedOut: 5,
  /** `status`: it runs, but processes of it do not stay up. */
  unwell: 6,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Said to the user as it is, without a stack. */
export class CliError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
