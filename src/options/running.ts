/**
 * The options of the running server, for the processes it starts. Each of them runs the script as it is now, which may have
 * other options than at the start of the server. Most of these the processes must agree about: the master has laid out shared
 * memory by them, reactors frame and dispatch by them. Of those the running server's value holds until a restart.
 */

import type { Kind } from './check.js';
import { type Definition, definitions, listenNames, type OptionName } from './definitions.js';
import { keptFromChildren } from './environment.js';
import type { ResolvedListen, ResolvedOptions, ServerOptions } from './option-types.js';
import { optionNames } from './resolve.js';

/** What the script declares. */
export interface Declared {
  readonly options: ResolvedOptions;
  /** Those that are not left to their defaults. */
  readonly given: ServerOptions;
  readonly listens: readonly ResolvedListen[];
  /** Names of the added processes, in the order of their ids. */
  readonly processes: readonly string[];
}

type Texts = Readonly<Record<string, string>>;

interface Packed {
  readonly options: Texts;
  readonly given: readonly string[];
  /** By listen port: what is not as on the server. */
  readonly ports: readonly Texts[];
  readonly processes: readonly string[];
}

/** @returns what `RunningServer` reads; it holds no secrets */
export function packRunning({ options, given, listens, processes }: Declared): string {
  const kept = keptFromChildren();
  const texts = textsOf(
    options,
    optionNames.filter((name) => !kept.includes(name)),
  );
  const ports = listens.map((listen) => {
    const own = Object.entries(textsOf(listen, listenNames));
    return Object.fromEntries(own.filter(([name, text]) => text !== texts[name]));
  });
  const packed: Packed = { options: texts, given: Object.keys(given), ports, processes };
  return JSON.stringify(packed);
}

interface Running {
  readonly texts: Texts;
  readonly mode: unknown;
}

/** What has been found about the server's own options, or those of a listen port. */
interface Findings {
  readonly differences: string[];
  readonly misfits: string[];
}

/** What the server was started with, in a process that it has started. */
export class RunningServer {
  readonly #packed: Packed;
  readonly #mode: unknown;
  #findings: Findings = { differences: [], misfits: [] };
  readonly #ofPorts: Findings[] = [];

  /** @param text of `packRunning` */
  constructor(text: string) {
    this.#packed = JSON.parse(text) as Packed;
    this.#mode = decode(this.#packed.options['mode'] ?? NOTHING);
  }

  get processes(): readonly string[] {
    return this.#packed.processes;
  }

  get portNum(): number {
    return this.#packed.ports.length;
  }

  /** @param own as the script is now @returns the same, but what only a start applies as the server has it */
  adopt(own: ResolvedOptions, given: ServerOptions): ResolvedOptions {
    // The rest follows from these and from the machine.
    const known = new Set([...this.#packed.given, ...Object.keys(given)]);
    const { adopted, differing, misfits } = adopt(own, optionNames, { texts: this.#packed.options, mode: this.#mode });
    const shown = differing.filter(([name]) => known.has(name));
    this.#findings = { differences: shown.map(([, difference]) => difference), misfits };
    return adopted;
  }

  /** The same for a further listen port, whose place is `index`. */
  adoptPort(index: number, own: ResolvedListen): ResolvedListen {
    const port = this.#packed.ports[index];
    if (port === undefined) return own;
    const texts = { ...this.#packed.options, ...port };
    const { adopted, differing, misfits } = adopt(own, listenNames, { texts, mode: this.#mode });
    const named = (difference: string): string => `listen port ${index + 1}: ${difference}`;
    this.#ofPorts[index] = {
      differences: differing.map(([, difference]) => named(difference)),
      misfits: misfits.map(named),
    };
    return adopted;
  }

  /** What the script has changed since the start of the server, and only a restart applies. */
  differences({ listens, processes }: Pick<Declared, 'listens' | 'processes'>): string[] {
    const { ports, processes: running } = this.#packed;
    return [
      ...this.#all('differences'),
      ...listens.slice(ports.length).map((listen) => `a listen port more: ${addressOf(listen)}`),
      ...processes.filter((name) => !running.includes(name)).map((name) => `a process more: ${name}`),
      ...running.filter((name) => !processes.includes(name)).map((name) => `a process less: ${name}`),
    ];
  }

  /** Why a worker that runs the script as it is now could not serve the clients of this server; empty: it can. */
  misfits(listens: readonly ResolvedListen[]): string[] {
    const missing = this.#packed.ports.slice(listens.length).map((port) => {
      const texts = Object.entries({ ...this.#packed.options, ...port });
      return Object.fromEntries(texts.map(([name, text]) => [name, decode(text)])) as unknown as ResolvedListen;
    });
    return [...this.#all('misfits'), ...missing.map((listen) => `no listen port for ${addressOf(listen)}`)];
  }

  #all(what: keyof Findings): string[] {
    return [this.#findings, ...this.#ofPorts].flatMap((findings) => findings?.[what] ?? []);
  }
}

interface Adopted<T> extends Pick<Findings, 'misfits'> {
  readonly adopted: T;
  readonly differing: (readonly [name: OptionName, difference: string])[];
}

function adopt<T extends ResolvedOptions | ResolvedListen>(
  own: T,
  names: readonly OptionName[],
  { texts, mode }: Running,
): Adopted<T> {
  const adopted: Record<string, unknown> = { ...own };
  const differing: (readonly [OptionName, string])[] = [];
  const misfits: string[] = [];
  for (const name of names) {
    const { reloads }: Definition<unknown, unknown> = definitions[name];
    const before = texts[name];
    const now = textOf(name, Reflect.get(own, name));
    if (reloads === true || before === undefined || before === now) continue;
    // Given by an operator, it is the master's alone.
    if (name === 'admin' && now === NOTHING) continue;
    if (isMisfit(name, now, before)) misfits.push(describe(name, now, before));
    else if (name !== 'tls' || mode !== 'base') differing.push([name, describe(name, now, before)]);
    // What is not in the texts (secrets, functions) is the process's own.
    if (before === NOTHING || !(isSecret(name) || before.includes(FUNCTION))) adopted[name] = decode(before);
  }
  return { adopted: Object.freeze(adopted) as T, differing, misfits };
}

/** The clients of the server speak what the callbacks of the script do not understand, or a limit would be lost. */
function isMisfit(name: OptionName, now: string, before: string): boolean {
  if (name === 'protocol' || name === 'type') return true;
  if (name === 'tls') return (now === NOTHING) !== (before === NOTHING);
  return before.includes(FUNCTION);
}

const LONGEST_SHOWN = 60;

/** `workerNum 3 (the server has 2)`; of values that a line does not hold the name alone. */
function describe(name: OptionName, now: string, before: string): string {
  const isShort = ![now, before].some((text) => /^[[{]/.test(text) || text.length > LONGEST_SHOWN);
  return isShort && !isSecret(name) ? `${name} ${now} (the server has ${before})` : name;
}

function addressOf({ type, path, host, port }: Pick<ResolvedListen, 'type' | 'path' | 'host' | 'port'>): string {
  return `${type} ${path === '' ? `${host}:${port}` : path}`;
}

// ——— values as texts ———

const NOTHING = 'null';
const FUNCTION = '"\\u0000function"';
const BYTES = '\u0000bytes:';

function textsOf(options: object, names: readonly OptionName[]): Texts {
  const texts = names.map((name) => [name, textOf(name, Reflect.get(options, name))] as const);
  return Object.fromEntries(texts);
}

/** Equal values have equal texts. */
function textOf(name: OptionName, value: unknown): string {
  const { withoutSecrets } = definitions[name].kind as Kind<unknown, unknown>;
  return JSON.stringify(withoutSecrets === undefined ? value : withoutSecrets(value), encode) ?? NOTHING;
}

function isSecret(name: OptionName): boolean {
  return 'withoutSecrets' in definitions[name].kind;
}

function encode(_key: string, value: unknown): unknown {
  if (typeof value === 'function') return '\u0000function';
  return value instanceof Uint8Array ? `${BYTES}${Buffer.from(value).toString('base64')}` : value;
}

function decode(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) =>
    typeof value === 'string' && value.startsWith(BYTES)
      ? new Uint8Array(Buffer.from(value.slice(BYTES.length), 'base64'))
      : value,
  );
}
