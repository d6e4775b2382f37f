/**
 * Finds the address of an app that was not written for tswoole: the arguments of its `listen()`, or its exports
 * `port` and `hostname`. The master binds before any worker has loaded the app, so a process of its own loads it
 * once, reports the address, and exits. Every process of the server knows the answer by the environment.
 */
import { spawn } from 'node:child_process';
import { isInspect } from '../ipc/inspect.js';
import { within } from '../util/within.js';

export interface AppAddress {
  readonly port?: number;
  readonly host?: string;
}

const VARIABLE = 'TSWOOLE_APP_ADDRESS';
const ASKED_VARIABLE = 'TSWOOLE_ASKED_FOR_ADDRESS';
const CHANNEL_DESCRIPTOR = 3;
/** An app that is not loaded by then is asked no longer: the workers report what is wrong with it. */
const DEADLINE_MS = 30_000;

const TOO_LATE = `The app was not loaded within ${DEADLINE_MS / 1000} s, so its address is unknown: give --host and --port.\n`;

/** True in the process that only loads the app and reports its address. */
export function isAsked(): boolean {
  return process.env[ASKED_VARIABLE] !== undefined;
}

/** The address that another process of this server, or the one that started this daemon, has found. */
export function knownAddress(): AppAddress | undefined {
  const text = process.env[VARIABLE];
  return text === undefined ? undefined : (JSON.parse(text) as AppAddress);
}

/** Hides the address from the app, and from its children. */
export function forgetAddress(): void {
  delete process.env[VARIABLE];
}

/** Loads the app in a process of its own. Errors there are left for the workers to report. */
export async function askApp(): Promise<AppAddress> {
  const address = (await ask()) ?? {};
  process.env[VARIABLE] = JSON.stringify(address);
  return address;
}

async function ask(): Promise<AppAddress | undefined> {
  const execArgv = process.execArgv.filter((word) => !isInspect(word));
  const child = spawn(process.execPath, [...execArgv, ...process.argv.slice(1)], {
    env: { ...process.env, [ASKED_VARIABLE]: '1' },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  const gone = new Promise((resolve) => {
    child.once('exit', resolve);
    child.once('error', resolve);
  });
  try {
    const text = await within(
      readAll(child.stdio[CHANNEL_DESCRIPTOR] as NodeJS.ReadableStream | undefined),
      DEADLINE_MS,
    );
    if (text === undefined) process.stderr.write(TOO_LATE);
    return text === undefined || text === '' ? undefined : (JSON.parse(text) as AppAddress);
  } catch {
    return undefined;
  } finally {
    end();
    await gone;
    process.removeListener('exit', end);
  }
}

/** One line, or all there is. */
async function readAll(stream: NodeJS.ReadableStream | undefined): Promise<string> {
  let text = '';
  for await (const piece of stream ?? []) {
    text += String(piece);
    if (text.includes('\n')) break;
  }
  return text.trim();
}
