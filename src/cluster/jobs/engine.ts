import type { ConnectionOptions } from 'node:tls';
import type { BackendFactory, ConnectionOptions as EngineConnection, RedisQueueBackend } from 'bullmq';
import { ServerError } from '../../errors/index.js';
import { withAdvice } from '../certificate-advice.js';
import { withoutSecrets } from '../without-secrets.js';

/** The part of BullMQ that is used, loaded. */
export type Bull = typeof import('bullmq');

/** `starting`: never reached yet. `closed` is for good. */
export type EngineState = 'starting' | 'up' | 'down' | 'closed';

/** What BullMQ's classes are made with. Typed as for Redis: only what all backends have is used. */
export interface BullSettings {
  readonly connection: EngineConnection;
  readonly prefix: string;
  readonly factory: BackendFactory<RedisQueueBackend>;
}

/**
 * Where the jobs are: Redis or PostgreSQL. It holds the connections, knows whether they are up, and says how BullMQ is to
 * use them. Runs in the broker process.
 */
export interface Engine {
  readonly state: EngineState;
  /** What and where, without user and password. */
  readonly name: string;
  /** Resolves once the engine can be used; rejects when it is known to be down. The caller holds the deadline. */
  ready(): Promise<void>;
  /** A command failed although the engine was ready. */
  failed(error: unknown): void;
  /** For queues: one connection for all of them. */
  producer(): BullSettings;
  /** For one worker. */
  consumer(): BullSettings;
  /**
   * Over all nodes. Nobody has it any longer than that, in milliseconds, whatever becomes of the holder.
   *
   * @returns undefined: another one has it
   */
  tryLock(key: string, longestMs: number): Promise<Unlock | undefined>;
  close(): Promise<void>;
}

/** Gives a lock back. It may be another's by now: then nothing happens. */
export type Unlock = () => Promise<void>;

/** Checked and with defaults. */
export interface EngineOptions {
  readonly url: URL;
  readonly prefix: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: ConnectionOptions | undefined;
  readonly deadlineMs: number;
  /** Told once when the engine goes, with why, and once when it is back. */
  readonly onState: (state: EngineState, why: string) => void;
}

/** Names no password, whatever the library said. */
export function whyOf(error: unknown, { url, password }: Pick<EngineOptions, 'url' | 'password'>): string {
  const { message, code } = error as NodeJS.ErrnoException;
  const said = withAdvice(typeof message === 'string' && message !== '' ? message : String(code ?? error), code).slice(
    0,
    500,
  );
  return withoutSecrets(said, [password, url.password, decoded(url.password)]);
}

/** Part of a URL; one with a bare '%' is taken as it is. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @param state as in "the connection, which is …" */
export function down(engine: string, state: string): ServerError<'ERR_CLUSTER_DOWN'> {
  return new ServerError('ERR_CLUSTER_DOWN', { engine, state });
}

/** Pause before another try to connect, in milliseconds: doubling to 2 s, and no two nodes at the same time. */
export function pauseBefore(attempt: number): number {
  return Math.min(2_000, 50 * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2);
}
