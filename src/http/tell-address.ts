/** The process that loads an app only to report where it listens. */
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { importModule } from '../util/import-module.js';
import type { AppAddress } from './app-address.js';
import { exportsApp, LISTEN_WAIT_MS } from './load-app.js';
import { listenArguments } from './own-listen.js';

const CHANNEL_DESCRIPTOR = 3;

/** An app that exports itself may listen besides, when its `main()` has come so far. */
const EXPORTED_WAIT_MS = 300;

/** Does not return. @param path of the app */
export async function tellAddress(path: string): Promise<never> {
  const listening = listenArguments();
  process.argv.splice(2, 1); // the app's arguments follow it
  // Nothing is left that could call listen(): there is nothing to wait for.
  process.once('beforeExit', () => tell(exportedAddress(loaded)));
  // An app that waits until it listens, as in `await app.listen()`, is not loaded before: here it never would be.
  const loading = load(path);
  await Promise.race([loading, listening.called]);
  const address = await listening.within(0);
  if (address !== undefined) return tell(address);
  const exported = await loading;
  if (exported === undefined) return tell({}); // a worker will report that, with the reason
  const waitMs = exportsApp(exported) ? EXPORTED_WAIT_MS : LISTEN_WAIT_MS;
  return tell((await listening.within(waitMs)) ?? exportedAddress(exported));
}

/** What the app exports; until it is loaded nothing. */
let loaded: Readonly<Record<string, unknown>> = {};

async function load(path: string): Promise<Record<string, unknown> | undefined> {
  try {
    loaded = await importModule<Record<string, unknown>>(pathToFileURL(path).href);
    return loaded;
  } catch {
    return undefined;
  }
}

/** As Bun and others have it: `export default { port, hostname, fetch }`, or each for itself. */
function exportedAddress(exported: Readonly<Record<string, unknown>>): AppAddress {
  const { default: main } = exported;
  const places = [exported, typeof main === 'object' && main !== null ? (main as Record<string, unknown>) : {}];
  const [port] = places.map((place) => Number(place['port'])).filter((value) => isPort(value));
  const hosts = places.flatMap((place) => [place['hostname'], place['host']]);
  const host = hosts.find((value) => typeof value === 'string' && value !== '') as string | undefined;
  if (port === undefined) return host === undefined ? {} : { host };
  return { port, host: host ?? '::' }; // every address, as where listen() is called with a port alone
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 65_535;
}

function tell(address: AppAddress): never {
  writeSync(CHANNEL_DESCRIPTOR, `${JSON.stringify(address)}\n`);
  process.exit(0);
}
