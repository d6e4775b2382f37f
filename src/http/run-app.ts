/**
 * `tswoole start APP --http`: an app that was not written for tswoole, and exports its handler or listens with it.
 * This file is the program of every process; only workers load the app, and before the start one process that
 * finds out where the app listens.
 */
import { lookup } from 'node:dns/promises';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { basename, extname } from 'node:path';
import { ServerError } from '../errors/index.js';
import { sendLastWords } from '../ipc/last-words.js';
import { Region } from '../memory/region.js';
import { optionsFromOutside } from '../options/index.js';
import { isIP } from '../options/ip-address.js';
import { inherited } from '../server/inherited.js';
import { withoutRepetition } from '../server/told-error.js';
import { setScriptPath } from '../util/script.js';
import { type AppAddress, askApp, forgetAddress, isAsked, knownAddress } from './app-address.js';
import type { BoundAddress } from './apps.js';
import { HttpServer } from './http-server.js';
import { loadApp } from './load-app.js';
import { OwnListen } from './own-listen.js';

const DEFAULT_PORT = 3000;

const [, , app = ''] = process.argv;
setScriptPath(app);
void run();

/** Node alone knows the file and the line, and prints them where an error ends the process. No listener of the app keeps it. */
function endBy(error: SyntaxError): void {
  for (const event of ['unhandledRejection', 'uncaughtException']) process.removeAllListeners(event);
  setImmediate(() => {
    throw error;
  });
}

async function run(): Promise<void> {
  if (isAsked()) {
    const { tellAddress } = await import('./tell-address.js');
    await tellAddress(app);
  }
  try {
    await serve();
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    const { code, cause } = error;
    if (isToldByStart() && !(cause instanceof SyntaxError) && sendLastWords(error)) process.exit(1);
    if (code === 'ERR_HTTP_APP' && cause instanceof SyntaxError) {
      process.stderr.write(`${code}: ${error.message}\n`);
      return endBy(cause);
    }
    for (const line of chainOf(error)) process.stderr.write(`${line}\n`);
    process.exit(1);
  }
}

/** In a process whose error the start rejects with, and the first process says once. */
function isToldByStart(): boolean {
  const inheritance = inherited();
  return inheritance !== undefined && !Region.open(inheritance.region).isUp;
}

async function serve(): Promise<void> {
  const server = new HttpServer({
    name: basename(app, extname(app)),
    ...optionsFor(knownAddress() ?? (await addressOfApp())),
    app: async (at) => {
      const address = await boundAddress(at);
      forgetAddress();
      process.argv.splice(2, 1); // the app's arguments follow it
      Object.assign(process.env, { PORT: String(at.port), HOST: at.host, NODE_APP_INSTANCE: String(server.workerId) });
      return loadApp(app, new OwnListen(() => ({ ...address })));
    },
  });
  await server.start();
  const { host } = server;
  process.stdout.write(`listening on ${host.includes(':') ? `[${host}]` : host}:${server.port}\n`);
}

/** As `address()` of Node has it, where a name is looked up as for binding. A name that is not known any more stays. */
async function boundAddress({ host, port }: BoundAddress): Promise<AddressInfo> {
  const address =
    isIP(host) === 0
      ? await lookup(host).then(
          ({ address }) => address,
          () => host,
        )
      : host;
  return { address, family: isIP(address) === 6 ? 'IPv6' : 'IPv4', port };
}

/** Loading the app again costs as much as a worker, so it is loaded only for values that are given nowhere else. */
async function addressOfApp(): Promise<AppAddress> {
  const { port = givenPort(), host } = optionsFromOutside();
  return port !== undefined && host !== undefined ? {} : askApp();
}

function givenPort(): number | undefined {
  const text = process.env['PORT'];
  return text === undefined || text === '' ? undefined : Number(text);
}

/** The flags of the command line and TSWOOLE_OPTION_* go before these. */
function optionsFor({ port, host }: AppAddress): { port: number; host?: string } {
  return { port: givenPort() ?? port ?? DEFAULT_PORT, ...(host === undefined ? {} : { host: hostFor(host) }) };
}

/** As Node does where there is no IPv6. */
function hostFor(host: string): string {
  if (host !== '::') return host;
  const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === 'IPv6'));
  return hasIpv6 ? host : '0.0.0.0';
}

/**
 * The error and its causes. The stacks of this package lead through this program, so only those of others are shown.
 */
function chainOf(error: unknown): string[] {
  if (error === undefined) return [];
  if (!(error instanceof Error)) return [String(error)];
  const own =
    error instanceof ServerError
      ? `${error.code}: ${withoutRepetition(error.message, error)}`
      : (error.stack ?? error.message);
  return [own, ...chainOf(error.cause)];
}
