/**
 * The admin listener: metrics, health and the commands over HTTP, for Prometheus, Kubernetes and browsers. It runs in the
 * master's main thread and reads shared memory, so it answers when workers do not.
 */
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { DASHBOARD_FOLDER } from '../entries.js';
import { ServerError } from '../errors/index.js';
import type { ResolvedAdmin } from '../options/index.js';
import type { Log } from '../util/log.js';
import { Access, type Client } from './access.js';
import { allow, drain, fromQuery, Refusal, readBody, readTarget, shorten, type Target } from './admin-request.js';
import type { CommandTable } from './commands.js';
import { ConnectionLimit } from './connection-limit.js';
import type { Controlled, ServerStatus, TakenProfile } from './controlled.js';
import { Dashboard, nameOf } from './dashboard/dashboard.js';
import { HostCheck } from './host-check.js';
import { PROMETHEUS_TYPE, toPrometheus } from './metrics.js';
import { publicError } from './public-error.js';
import { send } from './send.js';
import { sendProfile } from './send-profile.js';

const LIMIT_CONNECTIONS = 128;
/** For a whole request with its body. */
const REQUEST_TIMEOUT_MS = 10_000;
/** A client that neither sends nor reads is closed, unless its command is still running. */
const IDLE_TIMEOUT_MS = 30_000;
const LOOK_FOR_LATE_MS = 1000;

export class AdminServer {
  readonly #admin: ResolvedAdmin;
  readonly #server: Controlled;
  readonly #commands: CommandTable;
  readonly #log: Log;
  readonly #hosts: HostCheck;
  readonly #access: Access;
  readonly #dashboard: Dashboard | undefined;
  readonly #http: HttpServer;
  /** By connection: when its last request has left. */
  readonly #turns = new WeakMap<Socket, Promise<void>>();

  /** @param folder of the built dashboard */
  constructor(
    admin: ResolvedAdmin,
    server: Controlled,
    commands: CommandTable,
    log: Log,
    folder = fileURLToPath(DASHBOARD_FOLDER),
  ) {
    this.#admin = admin;
    this.#server = server;
    this.#commands = commands;
    this.#log = log;
    this.#hosts = new HostCheck(admin);
    this.#access = new Access(admin);
    this.#dashboard = admin.dashboard ? new Dashboard({ server, access: this.#access, log, folder }) : undefined;
    this.#http = createServer(
      {
        requestTimeout: REQUEST_TIMEOUT_MS,
        headersTimeout: REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: LOOK_FOR_LATE_MS,
      },
      (request, response) => {
        void this.#inTurn(request, response);
      },
    );
    new ConnectionLimit(this.#http, LIMIT_CONNECTIONS);
    // Each request that waits for its turn listens for the end of its connection.
    this.#http.on('connection', (socket: Socket) => socket.setMaxListeners(0));
    this.#http.timeout = IDLE_TIMEOUT_MS;
  }

  /** @throws ServerError ERR_PORT_IN_USE, ERR_PORT_PRIVILEGED, ERR_LISTEN */
  async listen(): Promise<void> {
    const { host, port } = this.#admin;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#http.once('error', reject);
        this.#http.listen(port, host, () => resolve());
      });
    } catch (error) {
      const { code = '', syscall = 'listen' } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE') throw new ServerError('ERR_PORT_IN_USE', { host, port });
      if (code === 'EACCES') throw new ServerError('ERR_PORT_PRIVILEGED', { host, port });
      throw new ServerError('ERR_LISTEN', { host, port, code, syscall }, { cause: error });
    }
    this.#http.removeAllListeners('error');
    this.#http.on('error', (error) => this.#log.warn('the admin listener failed', { error }));
    this.#http.unref();
  }

  /** `http://127.0.0.1:9100`; empty while it does not listen. */
  get url(): string {
    const address = this.#http.address() as AddressInfo | null;
    if (address === null) return '';
    const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
    return `http://${host}:${address.port}`;
  }

  async close(): Promise<void> {
    this.#dashboard?.close();
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#http.closeAllConnections();
    await closed;
  }

  /**
   * One request of a connection at a time: Node calls for each that lies in a read, and a client that reads no answers would
   * have hundreds of them made.
   */
  async #inTurn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const before = this.#turns.get(socket);
    const left = closed(response, socket);
    this.#turns.set(socket, left);
    await before;
    if (socket.destroyed) return;
    await this.#handle(request, response);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response);
    } catch (error) {
      await drain(request);
      this.#refuse(request, response, error);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = readTarget(request, this.#hosts);
    const { path } = target;
    if (path === '/api' || path.startsWith('/api/')) return this.#api(request, response, target);
    if ((await this.#dashboard?.answer(request, response, path)) === true) return;
    allow(request, 'GET', 'HEAD');
    switch (path) {
      case '/metrics':
        return send(response, 200, toPrometheus(this.#server.metrics()), PROMETHEUS_TYPE);
      case '/healthz': {
        const { state } = this.#server.status();
        const isLost = state === 'crash-looping';
        return send(response, isLost ? 503 : 200, isLost || state === 'degraded' ? `${state}\n` : 'ok\n');
      }
      case '/readyz': {
        const status = this.#server.status();
        return status.ready
          ? send(response, 200, status.state === 'degraded' ? 'ready, degraded\n' : 'ready\n')
          : send(response, 503, `${whyNotReady(status)}\n`);
      }
      case '/':
        return send(response, 200, `tswoole: ${this.#paths.join(' ')}\n`);
    }
    const last = this.#paths.at(-1) ?? '';
    const others = this.#paths.slice(0, -1).join(', ');
    throw new Refusal(404, `there is no ${shorten(path)}; there are ${others} and ${last}`);
  }

  get #paths(): string[] {
    return ['/metrics', '/healthz', '/readyz', '/api', ...(this.#dashboard === undefined ? [] : ['/dashboard'])];
  }

  async #api(request: IncomingMessage, response: ServerResponse, { path, query }: Target): Promise<void> {
    const name = path.slice('/api/'.length);
    allow(request, 'GET', 'HEAD', 'POST');
    const isPost = request.method === 'POST';
    const client = this.#access.check(request, isPost);
    const command = name === '' ? 'commands' : name;
    if (!this.#commands.has(command)) this.#commands.refuseUnknown(shorten(command));
    if (!isPost && this.#commands.changes(command)) {
      throw new Refusal(405, `${command} changes something: POST it`, { allow: 'POST' });
    }
    const given = isPost ? await readBody(request) : fromQuery(query);
    if (isPost && this.#commands.changes(command)) this.#logChange(client, command, given);
    request.socket.setTimeout(0); // a reload may take any time
    const result = await this.#commands
      .runForRemote(command, given)
      .finally(() => request.socket.setTimeout(IDLE_TIMEOUT_MS));
    if (command === 'profile') return sendProfile(response, result as TakenProfile);
    send(response, 200, `${JSON.stringify(result ?? null)}\n`, 'application/json');
  }

  /** Whoever changes something is in the log: from where, with which token. */
  #logChange({ address, rights, by }: Client, command: string, given: Readonly<Record<string, unknown>>): void {
    const who = { address, token: nameOf(rights), by };
    const fields = { command, ...this.#commands.loggable(command, given) };
    this.#log.info('a command came to the admin listener', { ...fields, ...who });
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.headersSent) return void response.destroy();
    if (error instanceof Refusal) {
      if (error.status === 401 && request.headers.authorization !== undefined) {
        const address = request.socket.remoteAddress; // those that come too often are answered 429: no lines of theirs
        this.#log.warn('a wrong token came to the admin listener', { address, why: error.message });
      }
      const body = JSON.stringify({ error: { code: `HTTP_${error.status}`, message: error.message } });
      return send(response, error.status, `${body}\n`, 'application/json', { ...error.headers, connection: 'close' });
    }
    if (response.destroyed) return; // the client has gone meanwhile
    const status = statusOf(error);
    if (status === 500) this.#log.error('a request to the admin listener failed', { error });
    send(response, status, `${JSON.stringify({ error: publicError(error) })}\n`, 'application/json');
  }
}

/** Resolves when the answer has left, or never will. */
function closed(response: ServerResponse, socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      socket.off('close', end);
      resolve();
    };
    response.once('close', end);
    socket.once('close', end);
  });
}

function whyNotReady({ state, cluster }: ServerStatus): string {
  const isRunning = state === 'running' || state === 'degraded';
  if (isRunning && cluster?.readyNeedsEngine === true && cluster.state !== 'up') {
    return `the engine of the cluster is ${cluster.state}`;
  }
  return state === 'running' ? 'no worker is ready' : state;
}

function statusOf(error: unknown): number {
  if (!(error instanceof ServerError)) return 500;
  if (error.is('ERR_COMMAND_UNKNOWN') || error.is('ERR_SESSION_NOT_FOUND')) return 404;
  if (/^ERR_(OPTION_|COMMAND_REQUEST|WORKER_ID|ROOM_NAME|CLUSTER_PAYLOAD)/.test(error.code)) return 400;
  return /^ERR_(RELOAD|SCALE|PROFILE|NO_WEBSOCKET|NO_CLUSTER|NO_DASHBOARD|NODE_RELOAD|ROOM_BUFFER_FULL)$/.test(
    error.code,
  )
    ? 409
    : 500;
}
