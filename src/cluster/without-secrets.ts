/** What an engine or its client has said, fit for a log: no password, and every word that says why. */

const HIDDEN = '(hidden)';
/** User and password of a URL. */
const USER_OF_URL = /\b([a-z][a-z\d+.-]*:\/\/)[^\s/]*@/gi;
/** Redis repeats what it does not understand, AUTH and HELLO too. */
const REPEATED = /(with args beginning with:).*/gis;
/** As in CONNECT of NATS, and in a connection string of PostgreSQL. */
const NAMED =
  /(["']?\b(?:pass|password|passwd|pwd|auth_token|jwt|sig)\b["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&}]+)/gi;

/** Texts of engines are made of words, and of numbers of ports: who saw one of them hidden would know the password. */
const WORD = /^(?:\p{L}{1,20}|\d{1,5})$/u;
/** Shorter ones may stand inside a word. */
const LONG = 8;

/**
 * The password itself is hidden only where no word of the text can be meant: of "p", or "password", most texts have one.
 * Where the engine repeats what it was sent, that is hidden whatever it is.
 */
export function withoutSecrets(text: string, secrets: readonly (string | undefined)[]): string {
  const known = text
    .replace(USER_OF_URL, `$1${HIDDEN}@`)
    .replace(REPEATED, `$1 ${HIDDEN}`)
    .replace(NAMED, (_, name: string) => `${name}${HIDDEN}`);
  return secrets.reduce<string>((said, secret) => (secret ? hide(said, secret) : said), known);
}

function hide(text: string, secret: string): string {
  const escaped = secret.replace(/[^\p{L}\p{N}]/gu, (each) => `\\u{${(each.codePointAt(0) as number).toString(16)}}`);
  const sent = new RegExp(`(\\bAUTH\\b[\\s"'\`]+(?:[^\\s"'\`<]+[\\s"'\`]+)?)${escaped}(?![\\p{L}\\p{N}])`, 'giu');
  const said = text.replace(sent, `$1${HIDDEN}`);
  if (WORD.test(secret)) return said;
  const whole = secret.length >= LONG ? escaped : `(?<![\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])`;
  return said.replace(new RegExp(whole, 'gu'), HIDDEN);
}
