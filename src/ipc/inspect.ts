/**
 * `--inspect` and its like are for the processes that run the user's callbacks: each of them gets a port of its own. Two
 * processes of one id, as there are while a reload runs, differ by their lane, so they do not clash.
 */
import { LANES_PER_WORKER } from '../memory/layout.js';

/** From `tswoole start` to the server, and from each process to those it starts. */
export const INSPECT_VARIABLE = 'TSWOOLE_INSPECT';
const FLAG = /^(--inspect(?:-brk|-wait)?)(?:=(.*))?$/;
const PORT_FLAG = /^--(?:inspect|debug)-port=(.*)$/;
const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_PORT = 9229;
const HIGHEST_PORT = 65_535;

export interface InspectWish {
  readonly flag: string;
  readonly host: string;
  /** Of worker 0; 0: each takes a free one. */
  readonly port: number;
}

/** True where processes stop before their first line until somebody looks: no deadline holds for their boot. */
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

/** What this process was started with. Taken out of NODE_OPTIONS: Node has obeyed it here, and would in each child. */
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
  const wish = { ...own, port: own.port === 0 ? 0 : own.port + 1 }; // the port itself is this process' own
  process.env[INSPECT_VARIABLE] = textOf(wish);
  return wish;
}

/** Read from the process that runs callbacks: what it starts itself has no part in it. */
export function leaveInspect(): void {
  inspectWish();
  delete process.env[INSPECT_VARIABLE];
  const { execArgv } = process;
  execArgv.splice(0, execArgv.length, ...execArgv.filter((word) => !isInspect(word)));
}

/**
 * The debugger of this process, opened where Node has not done so itself (BASE mode, where the process that is started
 * runs the callbacks). @returns its address; undefined where none is wanted
 */
export async function openDebugger(): Promise<string | undefined> {
  const wish = inspectWish();
  if (wish === undefined) return undefined;
  const inspector = await import('node:inspector');
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
