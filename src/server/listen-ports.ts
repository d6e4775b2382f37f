/** All addresses of a server, the main one first. */
import { ServerError, told } from '../errors/index.js';
import { MAX_PORTS } from '../memory/region.js';
import type { ListenOptions, ResolvedOptions } from '../options/index.js';
import { ListenPort } from './listen-port.js';
import { runningServer } from './running-server.js';

export class ListenPorts {
  readonly #list: ListenPort[] = [];
  readonly #boundPort: (index: number) => number | undefined;
  readonly #replaced: (event: string, index: number) => void;

  /** @param boundPort the port that the kernel has chosen @param replaced an event of a port gets another callback */
  constructor(boundPort: (index: number) => number | undefined, replaced: (event: string, index: number) => void) {
    this.#boundPort = boundPort;
    this.#replaced = replaced;
  }

  get list(): readonly ListenPort[] {
    return this.#list;
  }

  /** @param options undefined: the main address, which is that of the server @throws ServerError ERR_OPTION_* */
  add(options: ListenOptions | undefined, server: ResolvedOptions): ListenPort {
    const index = this.#list.length;
    if (index === MAX_PORTS) {
      const expected = `at most ${MAX_PORTS} listen ports`;
      throw told(new ServerError('ERR_OPTION_RANGE', { name: 'listen', expected, received: 'one more' }));
    }
    const port = new ListenPort(
      options,
      () => this.#boundPort(index),
      (event) => this.#replaced(event, index),
    );
    try {
      resolvePort(port, index, server);
    } catch (error) {
      throw told(error);
    }
    this.#list.push(port);
    return port;
  }

  /** The options of the server have changed. */
  resolve(server: ResolvedOptions): void {
    for (const [index, port] of this.#list.entries()) resolvePort(port, index, server);
  }
}

/** The first one has the options of the server. */
function resolvePort(port: ListenPort, index: number, server: ResolvedOptions): void {
  const running = index === 0 ? undefined : runningServer();
  port.resolve(server, running && ((own) => running.adoptPort(index, own)));
}
