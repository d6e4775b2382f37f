export { CarriedSocket } from './carried-socket.js';
export { NodeHttpBridge, type NodeHttpOptions } from './node-http-bridge.js';
export type { RawExchange, Tunnel, TunnelEvents } from './raw-exchange.js';
