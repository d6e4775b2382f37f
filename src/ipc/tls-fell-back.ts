/** What the log says where Node's `tls` does the work of OpenSSL. Runs in the master, or in a BASE worker. */
import type { Log } from '../util/log.js';

export function logTlsFellBack(why: string, log: Log): void {
  log.warn("TLS by Node's tls module, which takes more CPU: the OpenSSL inside Node cannot be called directly", {
    why,
  });
}
