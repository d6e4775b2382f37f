/**
 * koffi, taken from where its binary lies. Its own loader looks for that in the headers of two programs, which takes 6 of
 * the 25 ms that the import of this package takes, in each process and thread.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
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
    const asKoffi = createRequire(createRequire(import.meta.url).resolve('koffi'));
    return asKoffi(`@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`) as Koffi;
  } catch {
    return undefined;
  }
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
