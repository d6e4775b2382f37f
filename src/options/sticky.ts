/** The option `sticky`: HTTP requests with the same cookie or header go to the same worker. */
import { type Kind, objectOrFalse, refuse } from './check.js';
import { refuseUnknownNames } from './known-names.js';

/** The option `sticky`: by the value of a cookie or of a header, one of them. */
export interface StickyOptions {
  /** Name of a cookie. */
  readonly cookie?: string;
  /** Name of a header, in any case. */
  readonly header?: string;
}

export interface ResolvedSticky {
  readonly by: 'cookie' | 'header';
  /** A header in lower case. */
  readonly name: string;
}

const EXPECTED = 'false, {cookie: NAME} or {header: NAME}';
const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]{1,128}$/i;

/** null: requests go by `dispatchMode` alone. */
export function sticky(): Kind<StickyOptions | false, ResolvedSticky | null> {
  return objectOrFalse({
    type: 'StickyOptions | false',
    expected: EXPECTED,
    resolve: checkSticky,
    show: ({ by, name }) => JSON.stringify({ [by]: name }),
  });
}

function checkSticky(name: string, given: Record<string, unknown>): ResolvedSticky {
  refuseUnknownNames(name, given, ['cookie', 'header']);
  const { cookie, header } = given;
  if ((cookie === undefined) === (header === undefined)) refuse('ERR_OPTION_VALUE', name, EXPECTED, given);
  const wanted = cookie ?? header;
  if (typeof wanted !== 'string' || !TOKEN.test(wanted)) {
    const by = cookie === undefined ? 'header' : 'cookie';
    refuse(
      'ERR_OPTION_VALUE',
      `${name}.${by}`,
      `the name of a ${by}: 1 to 128 letters, digits and !#$%&'*+.^_\`|~-`,
      wanted,
    );
  }
  return cookie === undefined ? { by: 'header', name: wanted.toLowerCase() } : { by: 'cookie', name: wanted };
}
