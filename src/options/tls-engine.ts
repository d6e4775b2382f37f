/** By which TLS ports are served: `TSWOOLE_TLS_ENGINE` in the environment. */

export const TLS_ENGINE_VARIABLE = 'TSWOOLE_TLS_ENGINE';

/** `openssl`: the one inside Node, called directly, and Node's `tls` where that is not possible; `node`: Node's `tls`. */
export type TlsEngine = (typeof TLS_ENGINES)[number];

export const TLS_ENGINES = ['openssl', 'node'] as const;

/** @param value of the variable. @returns undefined: there is no such engine, and `openssl` serves */
export function tlsEngineOf(value: string | undefined): TlsEngine | undefined {
  return value === undefined || value === '' ? 'openssl' : TLS_ENGINES.find((name) => name === value);
}
