/**
 * Config in a JetStream stream: the last message of a subject is the value of its key, and its sequence the version. By the
 * API's own requests, which are three: two packages more would be needed for the same.
 */
import type { headers, NatsConnection } from '@nats-io/transport-node';
import { ServerError } from '../../errors/index.js';
import type { ConfigEntry } from '../driver.js';
import type { PutResult } from './engine.js';

/** Codes of the JetStream API. */
const NO_MESSAGE = 10_037;
const NO_STREAM = 10_059;
const NAME_IN_USE = 10_058;
const WRONG_LAST_SEQUENCE = 10_071;

const TIMEOUT_MS = 5000;

interface ApiAnswer {
  readonly error?: { readonly err_code?: number; readonly description?: string };
  readonly message?: { readonly seq: number; readonly data?: string };
  readonly seq?: number;
}

export class NatsConfig {
  readonly #connection: NatsConnection;
  readonly #headers: typeof headers;
  readonly #prefix: string;
  readonly #stream: string;
  #created: Promise<void> | undefined;

  constructor(connection: NatsConnection, makeHeaders: typeof headers, prefix: string) {
    this.#connection = connection;
    this.#headers = makeHeaders;
    this.#prefix = `${prefix}.stored.`;
    this.#stream = `TSWOOLE_${prefix.replaceAll('.', '=')}`;
  }

  async get(key: string): Promise<ConfigEntry | undefined> {
    const question = JSON.stringify({ last_by_subj: this.#prefix + key });
    const { message, error } = await this.#request(`$JS.API.STREAM.MSG.GET.${this.#stream}`, question);
    if (error?.err_code === NO_MESSAGE || error?.err_code === NO_STREAM) return undefined;
    if (error !== undefined || message === undefined) throw this.#unsupported(error?.description);
    return { value: Buffer.from(message.data ?? '', 'base64'), version: message.seq };
  }

  async put(key: string, value: Uint8Array, ifVersion: number | undefined): Promise<PutResult> {
    this.#created ??= this.#create();
    await this.#created;
    const { seq, error } = await this.#request(this.#prefix + key, value, ifVersion);
    if (error?.err_code === WRONG_LAST_SEQUENCE)
      return { written: false, version: (await this.get(key))?.version ?? 0 };
    if (error !== undefined || seq === undefined) throw this.#unsupported(error?.description);
    return { written: true, version: seq };
  }

  /** Anybody may have created it before, with settings of his own: those stay. */
  async #create(): Promise<void> {
    const stream = { name: this.#stream, subjects: [`${this.#prefix}>`], max_msgs_per_subject: 1, discard: 'old' };
    const { error } = await this.#request(`$JS.API.STREAM.CREATE.${this.#stream}`, JSON.stringify(stream));
    if (error === undefined || error.err_code === NAME_IN_USE) return;
    this.#created = undefined;
    throw this.#unsupported(error.description);
  }

  async #request(subject: string, payload: string | Uint8Array, lastSequence?: number): Promise<ApiAnswer> {
    const headers = this.#headers();
    if (lastSequence !== undefined) headers.set('Nats-Expected-Last-Subject-Sequence', String(lastSequence));
    const options = { timeout: TIMEOUT_MS, ...(lastSequence === undefined ? {} : { headers }) };
    try {
      return (await this.#connection.request(subject, payload, options)).json<ApiAnswer>();
    } catch (cause) {
      const { isNoResponders } = cause as { isNoResponders?: () => boolean };
      if (isNoResponders?.call(cause) === true) throw this.#unsupported('JetStream is not enabled (nats-server -js)');
      throw cause;
    }
  }

  #unsupported(why = 'JetStream did not say why'): ServerError {
    return new ServerError('ERR_CLUSTER_UNSUPPORTED', { engine: 'NATS', what: 'config', why });
  }
}
