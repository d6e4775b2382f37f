import type { ConnectionOptions, PostgresQueueBackend, RedisQueueBackend } from 'bullmq';
import { ServerError } from '../../errors/index.js';
import { importModule } from '../../util/import-module.js';
import { FOR_JOBS, loadPeer } from '../load-peer.js';
import {
  type Bull,
  type BullSettings,
  down,
  type Engine,
  type EngineOptions,
  type EngineState,
  type Unlock,
  whyOf,
} from './engine.js';

/** The comment of a schema: before the prefix. */
const CLAIM = 'tswoole: jobs of the prefix ';
const CLAIMED = `select obj_description(oid, 'pg_namespace') as said, pg_has_role(nspowner, 'USAGE') as own
  from pg_namespace where nspname = $1`;

/** Connections of one pool: one of the producers, and one of each worker. */
const POOL = 4;

/**
 * Jobs in a schema of their own (`PREFIX_jobs`), which is made or brought up to date at the first connection. A pool has no
 * connection whose return could be told: so `ready` asks, as long as a command has failed.
 */
export class PostgresEngine implements Engine {
  readonly name: string;
  readonly #bull: Bull;
  readonly #options: EngineOptions;
  #producers: PostgresQueueBackend | undefined;
  #opening: Promise<void> | undefined;
  #state: EngineState = 'starting';

  static async open(bull: Bull, options: EngineOptions): Promise<PostgresEngine> {
    // BullMQ loads it itself; here a missing one is told as every other.
    await loadPeer('pg', () => importModule('pg'), FOR_JOBS);
    return new PostgresEngine(bull, options);
  }

  constructor(bull: Bull, options: EngineOptions) {
    this.#bull = bull;
    this.#options = options;
    this.name = `PostgreSQL at ${options.url.host}`;
  }

  get state(): EngineState {
    return this.#state;
  }

  ready(): Promise<void> {
    if (this.#state === 'up') return Promise.resolve();
    if (this.#state === 'closed') return Promise.reject(down(this.name, 'closed'));
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  failed(error: unknown): void {
    this.#enter('down', whyOf(error, this.#options));
  }

  producer(): BullSettings {
    const producers = this.#producers;
    if (producers === undefined) throw down(this.name, 'not connected yet');
    return this.#settings((name) => producers.forQueue(name) as unknown as RedisQueueBackend);
  }

  consumer(): BullSettings {
    return this.#settings(this.#bull.createPostgresBackend as unknown as BullSettings['factory']);
  }

  /** By a transaction: its end is that of the lock, and PostgreSQL ends one whose holder says nothing for so long. */
  async tryLock(key: string, longestMs: number): Promise<Unlock | undefined> {
    if (this.#producers === undefined) throw down(this.name, 'not connected yet');
    const client = await this.#producers.connection.pool.connect();
    // One without a listener would end the process; what is asked next rejects.
    client.on('error', () => undefined);
    let isBroken = true;
    const end = async (): Promise<void> => {
      try {
        await client.query('rollback');
        isBroken = false;
      } finally {
        client.removeAllListeners('error');
        client.release(isBroken);
      }
    };
    try {
      await client.query(`begin; set local idle_in_transaction_session_timeout = ${longestMs}`);
      const { rows } = await client.query<{ taken: boolean }>(
        'select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as taken',
        [`${this.#options.prefix}:jobs-lock:${key}`],
      );
      if (rows[0]?.taken === true) return end;
    } catch (error) {
      await end().catch(() => undefined);
      throw error;
    }
    await end();
    return undefined;
  }

  async close(): Promise<void> {
    this.#enter('closed', 'closed');
    await this.#producers?.close();
  }

  async #open(): Promise<void> {
    try {
      if (this.#producers === undefined) this.#producers = await this.#connect();
      else await this.#producers.connection.pool.query('select 1');
      this.#enter('up', 'connected');
    } catch (error) {
      this.failed(error);
      if (error instanceof ServerError) throw error;
      throw down(this.name, `down: ${whyOf(error, this.#options)}`);
    }
  }

  /** BullMQ remembers a first connection that failed for ever: so each try is a new one. */
  async #connect(): Promise<PostgresQueueBackend> {
    const { connection, factory } = this.consumer();
    const producers = factory('producers', { connection }, {}) as unknown as PostgresQueueBackend;
    producers.on('error', (error: unknown) => this.failed(error));
    try {
      await producers.waitUntilReady();
      await this.#claimSchema(producers.connection.pool);
      return producers;
    } catch (error) {
      await producers.close().catch(() => undefined);
      throw error;
    }
  }

  /**
   * Prefixes that differ in punctuation alone have one schema, and would take each other's jobs: it belongs to the one that
   * was there first, which its comment says. One with another comment, or of another owner, is taken as it is.
   *
   * @throws ServerError ERR_JOB_OPTION
   */
  async #claimSchema(pool: PostgresQueueBackend['connection']['pool']): Promise<void> {
    const { prefix } = this.#options;
    const client = await pool.connect();
    // One without a listener would end the process; what is asked next rejects.
    client.on('error', () => undefined);
    try {
      await client.query('begin');
      await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`${this.#schema}:claim`]);
      const { rows } = await client.query<{ said: string | null; own: boolean }>(CLAIMED, [this.#schema]);
      const { said = null, own = false } = rows[0] ?? {};
      if (said === null && own) await client.query(`comment on schema "${this.#schema}" is '${CLAIM}${prefix}'`);
      await client.query('commit');
      const owner = said?.startsWith(CLAIM) === true ? said.slice(CLAIM.length) : prefix;
      if (owner !== prefix) throw this.#claimedBy(owner);
    } finally {
      client.removeAllListeners('error');
      client.release(true);
    }
  }

  #claimedBy(owner: string): ServerError<'ERR_JOB_OPTION'> {
    const expected = `another prefix: PostgreSQL has the jobs of "${owner}" in the schema ${this.#schema} already`;
    return new ServerError('ERR_JOB_OPTION', { name: 'prefix', expected, received: `"${this.#options.prefix}"` });
  }

  get #schema(): string {
    return `${this.#options.prefix.replaceAll(/[.-]/g, '_')}_jobs`;
  }

  #settings(factory: BullSettings['factory']): BullSettings {
    const { username, password, tls, prefix, deadlineMs } = this.#options;
    const url = new URL(this.#options.url);
    if (username !== undefined) url.username = username;
    if (password !== undefined) url.password = password;
    const connection = {
      connectionString: url.href,
      ...(tls !== undefined && { ssl: tls }),
      ...{ max: POOL, connectionTimeoutMillis: deadlineMs },
      ...{ schema: this.#schema, migrate: true },
    };
    return { connection: connection as ConnectionOptions, prefix, factory };
  }

  #enter(state: EngineState, why: string): void {
    if (this.#state === state || this.#state === 'closed') return;
    this.#state = state;
    this.#options.onState(state, why);
  }
}
