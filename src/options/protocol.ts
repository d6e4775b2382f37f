/** What the clients of a listen port may speak. */
export const protocols = ['raw', 'http', 'websocket'] as const;
export type ProtocolName = (typeof protocols)[number];

/** WebSocket begins as a request, so its ports are HTTP ports that accept one upgrade more. */
export function speaksHttp(protocol: ProtocolName): boolean {
  return protocol !== 'raw';
}
