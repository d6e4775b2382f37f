/** Media types of files by their ending, and which of them are worth compressing. */
import { extname } from 'node:path';
import { mimes } from 'mrmime';

const DEFAULT_TYPE = 'application/octet-stream';

/** Common types that the table lacks, because they are unregistered or registered under another name. */
const others: Readonly<Record<string, string>> = {
  eot: 'application/vnd.ms-fontobject',
  ico: 'image/x-icon',
  ndjson: 'application/x-ndjson',
  tar: 'application/x-tar',
};

/** Without it a browser assumes the legacy charset of its user's locale. XML declares its own. */
const CHARSET = '; charset=utf-8';
const HAS_CHARSET = /^(text\/(?!xml$).+|application\/(json|.+\+json|javascript|ecmascript|x-ndjson))$/;

/** The value of `content-type`, by the ending of a path. */
export function contentTypeOf(path: string): string {
  const ending = extname(path).slice(1).toLowerCase();
  const type = own(mimes, ending) ?? own(others, ending) ?? DEFAULT_TYPE;
  return HAS_CHARSET.test(type) ? `${type}${CHARSET}` : type;
}

/** A file may end in `.constructor`. */
function own(table: Readonly<Record<string, string>>, ending: string): string | undefined {
  return Object.hasOwn(table, ending) ? table[ending] : undefined;
}

// Of fonts and images, only formats that are not compressed already.
const COMPRESSIBLE = new RegExp(
  [
    /^text\/.+$/,
    /^[^/]+\/[^/]+\+(json|xml|text|yaml)$/,
    /^application\/(json5?|javascript|ecmascript|xml|xml-dtd|wasm|sql|toml|yang|n-quads|n-triples|trig|node|hjson)$/,
    /^application\/(x-ndjson|x-javascript|x-www-form-urlencoded|rtf|graphql|sparql-query|vnd\.ms-fontobject)$/,
    /^application\/postscript$/,
    /^font\/(ttf|otf|collection)$/,
    /^image\/(bmp|x-icon|vnd\.microsoft\.icon)$/,
    /^model\/(gltf-binary|obj|mtl|stl|vrml)$/,
  ]
    .map(({ source }) => source)
    .join('|'),
);

/**
 * @param type a value of `content-type`, with or without parameters. Event streams are excluded: a compressor waits for
 * more input, and an event must not wait
 */
export function isCompressible(type: string): boolean {
  const end = type.indexOf(';');
  const essence = (end === -1 ? type : type.slice(0, end)).trim().toLowerCase();
  return essence !== 'text/event-stream' && COMPRESSIBLE.test(essence);
}
