import { ServerError } from '../../errors/index.js';

/**
 * A package that a user installs only for this. Loaded at the first use, so that whoever has no jobs needs none of it.
 *
 * @throws ServerError ERR_CLUSTER_PACKAGE
 */
export async function loadPeer<T extends object>(name: string, range: string, load: () => Promise<T>): Promise<T> {
  try {
    const loaded = await load();
    // What is CommonJS comes as the default, with only those names beside it that Node could guess.
    return 'default' in loaded ? ({ ...loaded, ...(loaded.default as T) } as T) : loaded;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'ERR_MODULE_NOT_FOUND' ? 'it is not installed' : String(cause);
    throw new ServerError('ERR_CLUSTER_PACKAGE', { package: name, range, why }, { cause });
  }
}
