/** The options as a reactor gets them: per listen port, without what other roles need. */

import { accessLogOf } from './access-log.js';
import type { ResolvedListen, ResolvedOptions } from './option-types.js';
import { speaksHttp } from './protocol.js';
import type { ResolvedRateLimit } from './rate-limit.js';
import type { ResolvedTls } from './tls.js';
import { trustOfPort } from './trust-proxy.js';

/** Of a limit that the reactor checks. */
export interface ReactorRateLimit extends ResolvedRateLimit {
  readonly by: 'address' | { readonly header: string };
  /** Descriptor of the server's shared objects. */
  readonly arena: number;
}

/** What a reactor needs of the options. @param datagrams by listen port; −1 for a stream's @param arena of the shared objects */
export function reactorOptions(
  options: ResolvedOptions,
  listens: readonly ResolvedListen[],
  datagrams: readonly number[],
  arena: () => number,
) {
  const { maxWaitMs, maxQueuedBytes, maxBufferedBytes, overloadPolicy, ioUring } = options;
  const { heartbeatIdleMs, writeTimeoutMs, halfCloseTimeoutMs, maxConnectionsPerIp } = options;
  const { bodyLimit, requestLineLimit, headerLimit, headerCountLimit, maxConcurrency, http2, staticFiles, sticky } =
    options;
  const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs, minBodyBytesPerSecond } = options;
  const http = {
    ...{ bodyLimit, requestLineLimit, headerLimit, headerCountLimit, maxConcurrency, http2 },
    ...{ headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs, minBodyBytesPerSecond, staticFiles, sticky },
    rateLimit: rateLimitOf(options.rateLimit, arena),
  };
  const { maxMessageBytes, pingIntervalMs, slowConsumer, roomHighWatermark } = options;
  const webSocket = { maxMessageBytes, pingIntervalMs, slowConsumer, roomHighWatermark };
  const times = { maxWaitMs, heartbeatIdleMs, writeTimeoutMs, halfCloseTimeoutMs };
  const ports = listens.map(
    ({ noDelay, keepAlive, delayReceive, framing, packageMaxLength, proxyProtocol, tls, protocol, ...rest }, index) => {
      const { sendBufferSize, highWatermark, lowWatermark, heartbeatIdleMs, heartbeatCheckMs, maxIdleMs } = rest;
      const idle = { heartbeatIdleMs, heartbeatCheckMs, maxIdleMs };
      const forHttp = speaksHttp(protocol) ? { ...http, trustProxy: trustOfPort(rest) } : null;
      const forTls = forHttp === null || tls === null ? tls : withAlpn(tls, http2);
      const input = { delayReceive, framing, packageMaxLength, proxyProtocol };
      const settings = { noDelay, keepAlive, ...idle, ...input, tls: forTls, http: forHttp };
      const forWebSocket = protocol === 'websocket' ? webSocket : null;
      return {
        ...settings,
        webSocket: forWebSocket,
        sendBufferSize,
        highWatermark,
        lowWatermark,
        datagrams: datagrams[index] ?? -1,
      };
    },
  );
  const accessLog = accessLogOf(options);
  return { maxQueuedBytes, maxBufferedBytes, overloadPolicy, ioUring, accessLog, ...times, maxConnectionsPerIp, ports };
}

/** A limit by a function is the workers'. Reactor threads open the memory of shared objects by its descriptor. */
function rateLimitOf(limit: ResolvedRateLimit | null, arena: () => number): ReactorRateLimit | null {
  if (limit === null || typeof limit.by === 'function') return null;
  return { ...limit, by: limit.by, arena: arena() };
}

/** What clients of an HTTP port are offered, unless the certificate says otherwise. */
function withAlpn(tls: ResolvedTls, http2: boolean): ResolvedTls {
  if (tls.alpn.length > 0) return tls;
  return { ...tls, alpn: http2 ? ['h2', 'http/1.1'] : ['http/1.1'] };
}
