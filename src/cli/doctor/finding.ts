/** What `tswoole doctor` has found out about one subject. */

export interface Finding {
  readonly subject: string;
  /** `note`: the server runs, but does without something; `mend`: it will fail or be slow. */
  readonly level: 'ok' | 'note' | 'mend';
  readonly says: string;
  /** What to do; empty for `ok`. */
  readonly mend: string;
}

/** What checks read. A test gives its own. */
export interface Machine {
  /** The content of a file; undefined: it cannot be read. */
  read(path: string): string | undefined;
  readonly platform: NodeJS.Platform;
  readonly nodeVersion: string;
  /** The default of `workerNum`. */
  readonly cores: number;
  readonly backlog: number;
  /** Empty: the C library can be called; else why not, and the functions below are not to be called. */
  readonly koffiFault: string;
  /** Throws where it cannot be had. */
  createSharedMemory(): void;
  /** False: the kernel does not have io_uring, or does not let this process use it. */
  hasIoUring(): boolean;
  /** Empty: Node's own OpenSSL can be called; else why not. */
  opensslFault(): string;
  /** The value of `TSWOOLE_TLS_ENGINE`. */
  readonly tlsEngine: string | undefined;
  /** The version of a package as the script finds it; undefined: it is not installed; '': its package.json is broken. */
  packageVersion(name: string): string | undefined;
}

/** Says one thing; undefined where there is nothing to say on this machine. */
export type Check = (machine: Machine) => Finding | undefined;

export function ok(subject: string, says: string): Finding {
  return { subject, level: 'ok', says, mend: '' };
}

export function note(subject: string, says: string, mend: string): Finding {
  return { subject, level: 'note', says, mend };
}

export function fault(subject: string, says: string, mend: string): Finding {
  return { subject, level: 'mend', says, mend };
}

/** A number in a file; `max` and `unlimited` are Infinity. @returns undefined: there is no such file, or no number in it */
export function numberIn({ read }: Machine, path: string): number | undefined {
  return toLimit(read(path)?.trim() ?? '');
}

export function toLimit(text: string): number | undefined {
  if (text === 'max' || text === 'unlimited') return Number.POSITIVE_INFINITY;
  return /^-?\d+$/.test(text) ? Number(text) : undefined;
}
