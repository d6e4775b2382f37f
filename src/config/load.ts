/** Finds and loads the config file. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { extname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ServerError } from '../errors/index.js';
import { importModule } from '../util/import-module.js';
import { BYTE_ORDER_MARK, whyNotJson } from '../util/json-failure.js';
import { lineOfFailure, lineThatThrew } from '../util/module-line.js';
import type { CheckedConfig } from './app.js';
import { checkConfig } from './check.js';

/** In the order in which they are looked for. */
export const CONFIG_NAMES = ['ts', 'mts', 'js', 'mjs', 'cjs', 'json'].map((ending) => `tswoole.config.${ending}`);

const TYPESCRIPT = new Set(['.ts', '.mts', '.cts']);
/** A config may ask a network for secrets; one that waits for something that never comes should not hold the command. */
const LOAD_TIMEOUT_MS = 30_000;
const WRITABLE_BY_OTHERS = 0o002;
const MODULES = new Set([...TYPESCRIPT, '.js', '.mjs', '.cjs']);

/**
 * @param given the file of `--config`; undefined: the one in the folder
 * @returns absolute; undefined where the folder has none
 * @throws ServerError ERR_CONFIG when the given one is not there, or the folder has several
 */
export function findConfig(folder: string, given?: string): string | undefined {
  if (given !== undefined) {
    const file = resolve(folder, given);
    if (existsSync(file) && statSync(file).isFile()) return file;
    throw new ServerError('ERR_CONFIG', { file, why: 'there is no such file' });
  }
  const found = CONFIG_NAMES.map((name) => join(folder, name)).filter((file) => existsSync(file));
  const [first, second] = found;
  if (first === undefined) return undefined;
  refuseStranger(first);
  if (second === undefined) return first;
  throw new ServerError('ERR_CONFIG', {
    file: first,
    why: `${second} is there too, and only one can hold; remove one of them, or choose by --config FILE`,
  });
}

/** A command only finds the file because it was called in its folder, and the file is a program: another user's is not run. */
function refuseStranger(file: string): void {
  const { uid, mode } = statSync(file);
  const own = process.geteuid?.() ?? uid;
  const caller = own === 0 ? Number(process.env['SUDO_UID'] ?? 0) : own;
  const isOurs = uid === 0 || uid === own || uid === caller;
  if (isOurs && (mode & WRITABLE_BY_OTHERS) === 0) return;
  const why = isOurs ? 'every user may write to it' : `it belongs to user ${uid}`;
  throw new ServerError('ERR_CONFIG', {
    file,
    why: `${why}, so it is not run unasked; name it by --config FILE if you trust it`,
  });
}

/** @throws ServerError ERR_CONFIG, ERR_CONFIG_KEY, ERR_CONFIG_VALUE */
export async function loadConfig(
  file: string,
  stripsTypes = nodeStripsTypes(),
  timeoutMs = LOAD_TIMEOUT_MS,
): Promise<CheckedConfig> {
  const exported = await inTime(file, exportedBy(file, stripsTypes), timeoutMs);
  try {
    return checkConfig(exported, file);
  } catch (error) {
    if (error instanceof ServerError) throw error;
    throw new ServerError('ERR_CONFIG', { file, why: 'a key of it cannot be read' }, { cause: error });
  }
}

/** The timer also keeps the process: without it Node ends, with code 0, when a config waits for nothing that can come. */
async function inTime<T>(file: string, loading: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const why = `it has not finished loading after ${timeoutMs} ms: look for an await of what never settles`;
    timer = setTimeout(() => reject(new ServerError('ERR_CONFIG', { file, why })), timeoutMs);
  });
  try {
    return await Promise.race([loading, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function exportedBy(file: string, stripsTypes: boolean): Promise<unknown> {
  const ending = extname(file);
  if (ending === '.json') return parse(file);
  if (!MODULES.has(ending)) {
    throw new ServerError('ERR_CONFIG', { file, why: `"${ending}" is none of .ts, .mts, .js, .mjs, .cjs and .json` });
  }
  if (TYPESCRIPT.has(ending) && !stripsTypes) throw new ServerError('ERR_CONFIG', { file, why: cannotStrip() });
  let exported: Record<string, unknown>;
  try {
    exported = await importModule<Record<string, unknown>>(pathToFileURL(file).href);
  } catch (error) {
    const why = `it cannot be loaded${lineOfFailure(file, error)}`;
    throw new ServerError('ERR_CONFIG', { file, why }, { cause: error });
  }
  if ('default' in exported) return settled(exported['default'], file);
  throw new ServerError('ERR_CONFIG', {
    file,
    why: 'it has no default export (export default defineConfig({ … }); in CommonJS: module.exports = { … })',
  });
}

/** A default export may be a promise: a config that asks for its secrets first. */
async function settled(exported: unknown, file: string): Promise<unknown> {
  try {
    return await exported;
  } catch (error) {
    const why = `the promise it exports was rejected${lineThatThrew(file, error)}`;
    throw new ServerError('ERR_CONFIG', { file, why }, { cause: error });
  }
}

function parse(file: string): unknown {
  let text = '';
  try {
    text = readFileSync(file, 'utf8').replace(BYTE_ORDER_MARK, '');
    return JSON.parse(text) as unknown;
  } catch (error) {
    const why = error instanceof SyntaxError ? `it is not JSON (${whyNotJson(text, error)})` : (error as Error).message;
    throw new ServerError('ERR_CONFIG', { file, why });
  }
}

function cannotStrip(): string {
  return (
    `it is TypeScript, which Node ${process.version} does not run by itself: Node 22.18 and later, and 23.6 and later, do. ` +
    'Take one of these, or rename it to tswoole.config.mjs: defineConfig completes and checks the keys there too'
  );
}

/** Node 22.18, 23.6 and newer, unless it is turned off. */
export function nodeStripsTypes(): boolean {
  const kind: unknown = Reflect.get(process.features, 'typescript');
  return typeof kind === 'string';
}
