import type { ResolvedListen } from '../options/index.js';
import { CallbackTable, type PortEvents, portEventNames } from './events.js';

/** One address the server listens on, with callbacks of its own; where it has none, the server's are called. */
export class ListenPort {
  readonly host: string;
  /** @internal */
  readonly settings: ResolvedListen;
  /** @internal */
  readonly table = new CallbackTable<PortEvents>(portEventNames);
  #boundPort: () => number | undefined;

  /** @internal */
  constructor(settings: ResolvedListen, boundPort: () => number | undefined) {
    this.host = settings.host;
    this.settings = settings;
    this.#boundPort = boundPort;
  }

  /** The port number; 0 as long as the server has not started and was asked to choose. */
  get port(): number {
    return this.#boundPort() ?? this.settings.port;
  }

  on<K extends keyof PortEvents>(event: K, callback: PortEvents[K]): this {
    this.table.on(event, callback);
    return this;
  }

  off(event: keyof PortEvents): this {
    this.table.off(event);
    return this;
  }
}
