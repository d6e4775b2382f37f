/**
 * koffi, taken from where its binary lies. Its own loader looks for that in the headers of two programs, which takes 6 of
 * the 25 ms that the import of this package takes, in each process and thread.
 */
import { existsSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type koffiType from 'koffi';
import { ServerError } from '../errors/index.js';

type Koffi = typeof koffiType;

/** There is another binary for musl; koffi itself finds out which one fits. */
const MUSL_LOADERS: { readonly [arch: string]: string } = {
  x64: '/lib/ld-musl-x86_64.so.1',
  arm64: '/lib/ld-musl-aarch64.so.1',
};

export const koffi: Koffi = loadBinary() ?? loadByItself();

/** @returns undefined: it is not where it is known to lie, or cannot be used */
function loadBinary(): Koffi | undefined {
  const { platform, arch } = process;
  const loader = MUSL_LOADERS[arch];
  if (platform !== 'linux' || loader === undefined || existsSync(loader)) return undefined;
  try {
    const ours = createRequire(import.meta.url);
    const name = `@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`;
    const path = findBinary(ours.resolve.paths('koffi') ?? [], name);
    return (path === undefined ? createRequire(ours.resolve('koffi'))(name) : ours(path)) as Koffi;
  } catch {
    return undefined;
  }
}

/** Where koffi would find it itself. Node's way there, through what packages export, takes 4 ms. */
function findBinary(folders: readonly string[], name: string): string | undefined {
  const folder = folders.find((each) => existsSync(join(each, 'koffi')));
  if (folder === undefined) return undefined;
  const koffi = realpathSync(join(folder, 'koffi'));
  return [join(koffi, 'node_modules', name), join(dirname(koffi), name)].find((path) => existsSync(path));
}

/** @throws ServerError ERR_KOFFI */
function loadByItself(): Koffi {
  try {
    return (createRequire(import.meta.url)('koffi') as { default: Koffi }).default;
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`;
    const [why = ''] = (cause as Error).message.split(/[.?!]*\n|[.?!]*$/);
    throw new ServerError('ERR_KOFFI', { platform, why }, { cause });
  }
}
