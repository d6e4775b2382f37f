/** Apps that bring a server with TLS of their own: here only their handler is used, never their certificate. Runs in a worker. */
import type { HttpApps } from './apps.js';

/** What was found in a file (`load-app.ts`). */
export interface LoadedApps extends HttpApps {
  /** The app has made a server of https, http2 or tls. */
  readonly hasOwnTls?: boolean;
}

export const OWN_TLS =
  'the app has a certificate of its own, which is not used, and it is served in plain HTTP: give the certificate to tswoole (--tls), or take it out of the app';

/** @param ports those that speak HTTP */
export function servesPlainly(apps: LoadedApps, ports: readonly { readonly tls: unknown }[]): boolean {
  return apps.hasOwnTls === true && ports.every(({ tls }) => tls === null);
}
