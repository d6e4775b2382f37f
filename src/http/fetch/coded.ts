/**
 * Checks by the first bytes whether a body is in the coding that `content-encoding` names: an app that builds an
 * answer from a fetched one may pass on a field that was true only of the bytes on the wire. Runs in a worker.
 */
import { brotliDecompressSync, constants, inflateRawSync } from 'node:zlib';

/** This much of a body is inspected. */
const LOOKED_AT_BYTES = 4096;
/** Limit of its decoded size: random text that is valid by chance never gets so far. */
const MAX_DECODED_BYTES = 1024 * 1024;

type Test = (bytes: Uint8Array, isWhole: boolean) => boolean;

const isGzip: Test = (bytes) => begins(bytes, [0x1f, 0x8b, 0x08]);
const isZstd: Test = (bytes) => begins(bytes, [0x28, 0xb5, 0x2f, 0xfd]);
/** RFC 1950, 2.2; some programs send it without that frame. */
const isDeflate: Test = (bytes, isWhole) => {
  const [first = 0, second = 0] = bytes;
  const hasFrame = (first & 0x0f) === 8 && first >>> 4 <= 7 && ((first << 8) | second) % 31 === 0;
  return hasFrame || decodes(bytes, isWhole, raw);
};
const isBrotli: Test = (bytes, isWhole) => decodes(bytes, isWhole, brotli);

const tests: Readonly<Record<string, Test>> = {
  ...{ gzip: isGzip, 'x-gzip': isGzip, zstd: isZstd, deflate: isDeflate, br: isBrotli },
};

/**
 * @param codings value of `content-encoding`; the last one is the outermost
 * @returns undefined: a coding without a test
 */
export function testOf(codings: string): Test | undefined {
  const outer = codings
    .slice(codings.lastIndexOf(',') + 1)
    .trim()
    .toLowerCase();
  return Object.hasOwn(tests, outer) ? tests[outer] : undefined;
}

function begins(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, at) => at >= bytes.length || bytes[at] === byte) && bytes.length > 0;
}

type Decode = (bytes: Uint8Array, isWhole: boolean) => unknown;

const brotli: Decode = (bytes, isWhole) =>
  brotliDecompressSync(bytes, {
    maxOutputLength: MAX_DECODED_BYTES,
    finishFlush: isWhole ? constants.BROTLI_OPERATION_FINISH : constants.BROTLI_OPERATION_FLUSH,
  });
const raw: Decode = (bytes, isWhole) =>
  inflateRawSync(bytes, {
    maxOutputLength: MAX_DECODED_BYTES,
    finishFlush: isWhole ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
  });

function decodes(bytes: Uint8Array, isWhole: boolean, decode: Decode): boolean {
  const isCut = bytes.length > LOOKED_AT_BYTES;
  try {
    decode(isCut ? bytes.subarray(0, LOOKED_AT_BYTES) : bytes, isWhole && !isCut);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
  }
}
