/**
 * `--inspect` and related flags apply to the processes that run the user's callbacks: each gets its own port. During a
 * reload two processes have the same id; they differ by their lane, so their ports do not clash.
 */
import { LANES_PER_WORKER } from '../memory/layout.js';
import { importModule } from '../util/import-module.js';

/** Passed from `tswoole start` to the server, and from each process to its children. */
export const INSPECT_VARIABLE = 'TSWOOLE_INSPECT';
const FLAG = /^(--inspect(?:-brk|-wait)?)(?:=(.*))?$/;
const PORT_FLAG = /^--(?:inspect|debug)-port=(.*)$/;
const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_PORT = 9229;
const HIGHEST_PORT = 65_535;

export interface InspectWish {
  readonly flag: string;
  readonly host: string;
  /** The port of worker 0; 0: each process takes a free one. */
  readonly port: number;
}

/** True where processes wait for a debugger before their first line: their boot has no deadline. */
export function waitsForDebugger(wish: InspectWish | undefined): boolean {
  return wish !== undefined && wish.flag !== '--inspect';
}

/** @param words arguments of Node @returns undefined where none of them asks for a debugger */
export function parseInspect(words: readonly string[]): InspectWish | undefined {
  let flag: string | undefined;
  let address = '';
  for (const word of words) {
    const [, name, value] = FLAG.exec(word) ?? [];
    if (name !== undefined) {
      flag = name;
      address = value ?? address;
    }
    address = PORT_FLAG.exec(word)?.[1] ?? address;
  }
  return flag === undefined ? undefined : { flag, ...parseAddress(address) };
}

/** `9229`, `0.0.0.0`, `0.0.0.0:9229`, `[::1]:9229`. */
function parseAddress(text: string): { host: string; port: number } {
  if (/^\d+$/.test(text)) return { host: DEFAULT_HOST, port: Number(text) };
  const [, host = text, port = DEFAULT_PORT] = /^(.*):(\d+)$/.exec(text) ?? [];
  return { host: host === '' ? DEFAULT_HOST : host, port: Number(port) };
}

let known: { readonly wish: InspectWish | undefined } | undefined;

/** The flags of this process. Removed from NODE_OPTIONS: Node has applied them here, and would in each child. */
export function inspectWish(): InspectWish | undefined {
  known ??= { wish: takeWish() };
  return known.wish;
}

function takeWish(): InspectWish | undefined {
  const given = process.env[INSPECT_VARIABLE];
  if (given !== undefined) return parseInspect([given]);
  const fromEnvironment = (process.env['NODE_OPTIONS'] ?? '').split(' ').filter((word) => word !== '');
  const own = parseInspect([...fromEnvironment, ...process.execArgv]);
  if (own === undefined) return undefined;
  const rest = fromEnvironment.filter((word) => !isInspect(word));
  if (rest.length < fromEnvironment.length) process.env['NODE_OPTIONS'] = rest.join(' ');
  const wish = { ...own, port: own.port === 0 ? 0 : own.port + 1 }; // this process itself uses the port
  process.env[INSPECT_VARIABLE] = textOf(wish);
  return wish;
}

/** In a process that runs callbacks: keeps the flags from its own children. */
export function leaveInspect(): void {
  inspectWish();
  delete process.env[INSPECT_VARIABLE];
  const { execArgv } = process;
  execArgv.splice(0, execArgv.length, ...execArgv.filter((word) => !isInspect(word)));
}

/**
 * Opens the debugger of this process where Node has not done so (BASE mode, where the first process runs the callbacks).
 * @returns its address; undefined where none is wanted
 */
export async function openDebugger(): Promise<string | undefined> {
  const wish = inspectWish();
  if (wish === undefined) return undefined;
  const inspector = await importModule<typeof import('node:inspector')>('node:inspector');
  if (inspector.url() === undefined) {
    inspector.open(wish.port, wish.host.replaceAll(/[[\]]/g, ''));
    if (waitsForDebugger(wish)) inspector.waitForDebugger();
  }
  return inspector.url();
}

export function isInspect(word: string): boolean {
  return FLAG.test(word) || PORT_FLAG.test(word) || word.startsWith('--inspect-publish-uid');
}

export function textOf({ flag, host, port }: InspectWish): string {
  return `${flag}=${host}:${port}`;
}

/** For a process that runs callbacks. @returns arguments of Node */
export function inspectArgs(id: number, lane: number): string[] {
  const wish = inspectWish();
  if (wish === undefined) return [];
  const port = wish.port === 0 ? 0 : wish.port + id * LANES_PER_WORKER + lane;
  return [textOf({ ...wish, port: port > HIGHEST_PORT ? 0 : port })];
}
