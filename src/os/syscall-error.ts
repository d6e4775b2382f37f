/** A failed system call: its name, and the kernel's name for the reason. */
export class SyscallError extends Error {
  override readonly name = 'SyscallError';
  /** For example 'EADDRINUSE'. */
  readonly code: string;
  /** The positive error number. */
  readonly errno: number;
  /** For example 'bind'. */
  readonly syscall: string;

  constructor(code: string, errno: number, syscall: string) {
    super(`${syscall} failed: ${code}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}
