/**
 * The worker's half of HTTP, as the folder above hands it down: the server does not import it. `HttpServer` has
 * one with its app; a plain `Server` whose ports speak HTTP takes the one without.
 */
import type { Region } from '../memory/region.js';
import type { PortCallbacks } from '../worker/callbacks.js';
import type { ServiceFactory } from '../worker/service.js';
import type { Connection } from './connection.js';
import type { StartContext } from './context.js';
import type { ListenPort } from './listen-port.js';

export interface HttpHalf {
  /** Requests get a reply where there is no `request` callback. */
  readonly answers: boolean;
  /** Called in workers, where a port speaks HTTP. @throws ServerError when an app cannot be loaded */
  load(context: StartContext, region: Region): Promise<readonly ServiceFactory[]>;
  /** @internal Publishes a text to a room, from this process. Missing: this program has no rooms. @throws ServerError as `publish` */
  publish?(room: string, text: string): void;
  /** @internal The callbacks of a port, as workers call them. */
  callbacks?(callbacks: PortCallbacks<Connection>, port: ListenPort): PortCallbacks<Connection>;
}

let ofPlainServers: HttpHalf | undefined;

/** Called once, when the module that knows HTTP is loaded. */
export function giveHttpToPlainServers(half: HttpHalf): void {
  ofPlainServers = half;
}

export function httpOfPlainServers(): HttpHalf | undefined {
  return ofPlainServers;
}
