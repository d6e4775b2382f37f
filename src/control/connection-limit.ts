/**
 * The most connections of a listener for people and probes. A client that holds its connection without a whole request, as
 * slow ones and those that are kept alive do, makes room for one who comes: so nobody shuts it by waiting.
 */
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

export class ConnectionLimit {
  readonly #most: number;
  /** With the request under way; the first has waited for longest. */
  readonly #requests = new Map<Socket, IncomingMessage | undefined>();

  constructor(server: HttpServer, most: number) {
    this.#most = most;
    server.on('connection', (socket: Socket) => this.#came(socket));
    server.on('request', (request, response) => {
      const { socket } = request;
      this.#requests.set(socket, request);
      response.once('close', () => {
        if (this.#requests.get(socket) !== request) return;
        this.#requests.delete(socket);
        this.#requests.set(socket, undefined);
      });
    });
  }

  #came(socket: Socket): void {
    if (this.#requests.size >= this.#most && !this.#makeRoom()) return void socket.destroy();
    this.#requests.set(socket, undefined);
    socket.once('close', () => this.#requests.delete(socket));
  }

  #makeRoom(): boolean {
    for (const [socket, request] of this.#requests) {
      if (request?.complete === true) continue;
      this.#requests.delete(socket);
      socket.destroy();
      return true;
    }
    return false;
  }
}
