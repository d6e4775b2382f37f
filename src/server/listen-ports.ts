/** All addresses of a server, the main one first. */
import { ServerError, told } from '../errors/index.js';
import { MAX_PORTS } from '../memory/region.js';
import type { ListenOptions, ResolvedOptions } from '../options/index.js';
import { ListenPort } from './listen-port.js';

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
      port.resolve(server);
    } catch (error) {
      throw told(error);
    }
    this.#list.push(port);
    return port;
  }

  /** The options of the server have changed. */
  resolve(server: ResolvedOptions): void {
    for (const port of this.#list) port.resolve(server);
  }
}
