/// <reference types="node" preserve="true" />
// The types of `require('tswoole')`. They are those of `import`, not copies: a `Server` that was required is a `Server`
// that was imported. TypeScript lets a CommonJS file take only types from an ES module, so each value is declared again;
// `test/package/resolution.test.ts` says when one is missing.
import type * as tswoole from './index.js' with { 'resolution-mode': 'import' };

export type * from './index.js' with { 'resolution-mode': 'import' };

/** A server: see `Server` of the ES module. */
export declare const Server: typeof tswoole.Server;
export type Server = tswoole.Server;

/** A `Server` whose ports speak HTTP. */
export declare const HttpServer: typeof tswoole.HttpServer;
export type HttpServer = tswoole.HttpServer;

/** Every error that tswoole throws. Test `code`, never the message. */
export declare const ServerError: typeof tswoole.ServerError;
export type ServerError<C extends Parameters<tswoole.ServerError['is']>[0] = Parameters<tswoole.ServerError['is']>[0]> =
  tswoole.ServerError<C>;

/** The config as it is, for an editor that knows the keys of `tswoole.config.cjs`. */
export declare const defineConfig: typeof tswoole.defineConfig;

/** A client's connection, as callbacks get it. */
export declare const Connection: typeof tswoole.Connection;
export type Connection = tswoole.Connection;

/** Where a datagram came from, as the callback `packet` gets it. */
export declare const DatagramPeer: typeof tswoole.DatagramPeer;
export type DatagramPeer = tswoole.DatagramPeer;

/** One more address of a server, as `listen()` gives it. */
export declare const ListenPort: typeof tswoole.ListenPort;
export type ListenPort = tswoole.ListenPort;

/** Rows in shared memory, the same in every process. */
export declare const Table: typeof tswoole.Table;
export type Table<S extends tswoole.ColumnSpecs> = tswoole.Table<S>;

/** Takes the settings of Swoole by their names there. */
export declare const fromSwoole: typeof tswoole.fromSwoole;

/** Of this package. */
export declare const version: typeof tswoole.version;

/** An `HttpServer` whose clients may also become WebSockets. */
export declare const WebSocketServer: typeof tswoole.WebSocketServer;
export type WebSocketServer<Data = unknown> = tswoole.WebSocketServer<Data>;

/** A WebSocket, as callbacks get it. */
export declare const WebSocketConnection: typeof tswoole.WebSocketConnection;
export type WebSocketConnection<Data = unknown> = tswoole.WebSocketConnection<Data>;

/** Answers `handshake`: the client becomes a WebSocket. */
export declare const accept: typeof tswoole.accept;

/** Answers `handshake`: the client gets a status, and no WebSocket. */
export declare const reject: typeof tswoole.reject;

/** A whole number of 32 bits that all processes share. */
export declare const Atomic: typeof tswoole.Atomic;
export type Atomic = tswoole.Atomic;

/** A lock that all processes share. */
export declare const Lock: typeof tswoole.Lock;
export type Lock = tswoole.Lock;

/** Permits that all processes share. */
export declare const Semaphore: typeof tswoole.Semaphore;
export type Semaphore = tswoole.Semaphore;

/** One process computes, all get the result. */
export declare const Once: typeof tswoole.Once;
export type Once = tswoole.Once;

/** A limit for each key, the same in all processes: so many per second, and a burst. */
export declare const RateLimiter: typeof tswoole.RateLimiter;
export type RateLimiter = tswoole.RateLimiter;

/** What one process has computed, for all of them. */
export declare const SharedCache: typeof tswoole.SharedCache;
export type SharedCache<V = unknown> = tswoole.SharedCache<V>;

/** Messages to the subscribers of all processes. */
export declare const Topic: typeof tswoole.Topic;
export type Topic<T = unknown> = tswoole.Topic<T>;
