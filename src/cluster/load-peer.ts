/** Loads the client of an engine: an optional peer, so that a server on one machine installs none of them. */
import { ServerError } from '../errors/index.js';
import { peers } from '../util/peers.js';

export { peers };

/** As an error names what needs a package. */
export const FOR_JOBS = 'durable jobs';

export type PeerName = keyof typeof peers;

/**
 * Runs in the process that holds the connection, at the first `start` of a driver.
 * @param load the import, by `importModule`, with the types that the compiler is to know
 * @param neededBy in place of the driver
 * @throws ServerError ERR_CLUSTER_PACKAGE
 */
export async function loadPeer<T>(name: PeerName, load: () => Promise<T>, neededBy?: string): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new ServerError(
      'ERR_CLUSTER_PACKAGE',
      { package: name, range: peers[name], why: whyNot(name, cause), ...(neededBy !== undefined && { neededBy }) },
      { cause },
    );
  }
}

function whyNot(name: PeerName, cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') {
    return `it is not installed; run "npm install ${name}@${peers[name]}"`;
  }
  return message;
}
