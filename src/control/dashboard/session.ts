/**
 * People who have logged in to the dashboard. A session lies in the master's memory alone: a restart of the server ends all.
 * Runs in the master.
 */
import { createHash, randomBytes } from 'node:crypto';

/** Which token a person has given: the one that changes, or the one that only reads. */
export type Rights = 'change' | 'read';

export interface Session {
  readonly rights: Rights;
  /** What a request that changes something must carry besides the cookie. */
  readonly csrf: string;
}

interface Kept extends Session {
  /** Monotonic ms. */
  readonly endsAt: number;
}

const LASTS_MS = 12 * 60 * 60 * 1000;
const MOST = 256;
const SECRET_BYTES = 32;

export class Sessions {
  /** By the hash of the cookie's value: what is compared tells nothing about the value by the time it takes. */
  readonly #kept = new Map<string, Kept>();
  readonly #now: () => number;

  /** @param now monotonic ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** @returns the value of the cookie; beyond 256 sessions the oldest one ends */
  open(rights: Rights): { readonly value: string; readonly session: Session; readonly lastsMs: number } {
    this.#forgetEnded();
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= MOST && oldest !== undefined) this.#kept.delete(oldest);
    const value = secret();
    const session = { rights, csrf: secret(), endsAt: this.#now() + LASTS_MS };
    this.#kept.set(keyOf(value), session);
    return { value, session, lastsMs: LASTS_MS };
  }

  find(value: string): Session | undefined {
    const session = this.#kept.get(keyOf(value));
    return session === undefined || session.endsAt <= this.#now() ? undefined : session;
  }

  close(value: string): void {
    this.#kept.delete(keyOf(value));
  }

  #forgetEnded(): void {
    for (const [key, { endsAt }] of this.#kept) if (endsAt <= this.#now()) this.#kept.delete(key);
  }
}

function secret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

function keyOf(value: string): string {
  return createHash('sha256').update(value).digest('base64');
}
