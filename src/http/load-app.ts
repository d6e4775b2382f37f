/**
 * Finds the handler in an app that was not written for tswoole: an export, or the server that it lets listen. Runs
 * in a worker.
 */
import { Server as NodeHttpServer, type RequestListener } from 'node:http';
import { pathToFileURL } from 'node:url';
import { ServerError } from '../errors/index.js';
import { deferred } from '../util/deferred.js';
import { importModule } from '../util/import-module.js';
import type { FetchFunction } from './apps.js';
import type { OwnListen } from './own-listen.js';
import type { LoadedApps } from './own-tls.js';

/** Names under which apps are exported, the likeliest first. */
const names = ['default', 'app', 'handler', 'server', 'application', 'api', 'fastify', 'listener'];

/** An app without exports may call `listen()` up to N ms later. */
export const LISTEN_WAIT_MS = 5000;

/** @throws ServerError ERR_HTTP_APP */
export async function loadApp(path: string, ownListen: OwnListen): Promise<LoadedApps> {
  const exported = await Promise.race([exportsOf(path), ownListen.refused]);
  if (exported === undefined || ownListen.encrypts) throw encryptsItself(path);
  if (typeof exported['fetch'] === 'function') return { fetch: exported['fetch'] as FetchFunction };
  for (const name of names) {
    const value = await exported[name];
    if (isSecureServer(value)) throw encryptsItself(path);
    const apps = await appsOf(value);
    if (apps !== undefined) return apps;
  }
  const listener = await ownListen.within(LISTEN_WAIT_MS);
  if (ownListen.encrypts) throw encryptsItself(path);
  if (listener !== undefined) return { listener };
  const found = Object.keys(exported).join(', ') || 'nothing';
  const why = `its exports have no fetch(request), no (request, response) function and no app that is known, and it does not call listen() of a server of node:http (TLS and HTTP/2 are tswoole's: --tls); it exports ${found}`;
  throw new ServerError('ERR_HTTP_APP', { path, why });
}

/** Where nothing is left that could end an `await` at the top of the app, the process would end without a word. */
async function exportsOf(path: string): Promise<Record<string, unknown>> {
  const stuck = deferred<never>();
  const onIdle = (): void => {
    const why = 'it is never loaded: an `await` at its top waits for what cannot come any more';
    stuck.reject(new ServerError('ERR_HTTP_APP', { path, why }));
  };
  process.once('beforeExit', onIdle);
  const loading = importModule<Record<string, unknown>>(pathToFileURL(path).href).catch((cause: unknown) => {
    throw new ServerError('ERR_HTTP_APP', { path, why: 'it cannot be loaded' }, { cause });
  });
  try {
    return await Promise.race([loading, stuck.promise]);
  } finally {
    process.removeListener('beforeExit', onIdle);
  }
}

/** A server of node:https, node:tls, or a secure one of node:http2. */
function isSecureServer(value: unknown): boolean {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'setSecureContext') === 'function';
}

function encryptsItself(path: string): ServerError {
  const why =
    'it lets a server of node:https, node:http2 or node:tls listen, or exports one, and TLS is the work of tswoole here: let one of node:http listen with the same app, or export the app, and give the certificate to tswoole (--tls)';
  return new ServerError('ERR_HTTP_APP', { path, why });
}

/** True where one of the exports may be an app; none of them is called. */
export function exportsApp(exported: Readonly<Record<string, unknown>>): boolean {
  return [...names, 'fetch'].some((name) => {
    const value = exported[name];
    return typeof value === 'function' || (isObject(value) && Object.keys(value).length > 0);
  });
}

/** Recognises the known shapes of apps; undefined: none of them. */
async function appsOf(value: unknown): Promise<LoadedApps | undefined> {
  if (value instanceof NodeHttpServer) return { listener: value };
  if (typeof value === 'function' && !has(value, 'fetch'))
    return ofFunction(value as object & { readonly length: number });
  if (!isObject(value)) return undefined;
  if (has(value, 'fetch')) return { fetch: (...args) => value.fetch(...args) as Response }; // Hono, H3, itty-router
  if (has(value, 'routing') && has(value, 'ready')) return ofFastify(value);
  if (has(value, 'callback')) return { listener: value.callback() as RequestListener }; // Koa
  if (has(value, 'getHttpAdapter') && has(value, 'init')) return ofNest(value);
  return isObject(Reflect.get(value, 'default')) ? appsOf(Reflect.get(value, 'default')) : undefined;
}

/** Express and Connect are functions of (request, response, next). */
function ofFunction(value: object & { readonly length: number }): LoadedApps {
  return value.length === 1 ? { fetch: value as FetchFunction } : { listener: value as RequestListener };
}

async function ofFastify(app: Record<'routing' | 'ready', (...args: unknown[]) => unknown>): Promise<LoadedApps> {
  await app.ready();
  const hasOwnTls = isSecureServer(Reflect.get(app, 'server'));
  return { listener: (request, response) => void app.routing(request, response), ...(hasOwnTls ? { hasOwnTls } : {}) };
}

async function ofNest(app: Record<'getHttpAdapter' | 'init', (...args: unknown[]) => unknown>): Promise<LoadedApps> {
  await app.init();
  const adapter = app.getHttpAdapter();
  const listener = isObject(adapter) && has(adapter, 'getInstance') ? adapter.getInstance() : undefined;
  const hasOwnTls = has(app, 'getHttpServer') && isSecureServer(app.getHttpServer());
  return { ...(await appsOf(listener)), ...(hasOwnTls ? { hasOwnTls } : {}) };
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

function has<N extends string>(value: object, name: N): value is Record<N, (...args: unknown[]) => unknown> {
  return typeof Reflect.get(value, name) === 'function';
}
