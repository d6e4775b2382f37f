/** Field lines as text, for valid heads and trailers. */

const token = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/;
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Fields of which only the first counts, as in Node. */
const singletons: ReadonlySet<string> = new Set([
  ...['age', 'authorization', 'content-length', 'content-type', 'etag', 'expires', 'from', 'host'],
  ...['if-modified-since', 'if-unmodified-since', 'last-modified', 'location', 'max-forwards'],
  ...['proxy-authorization', 'referer', 'retry-after', 'server', 'user-agent'],
]);

export type Headers = Record<string, string | string[]>;

/** A method or a field name (RFC 9110 5.6.2). */
export function isToken(text: string): boolean {
  return token.test(text);
}

/** A valid field value (RFC 9110 5.5): without line ends, so that one value never becomes two fields. */
export function isFieldValue(text: string): boolean {
  return fieldValue.test(text);
}

/** @param text field lines in latin1, each with its CRLF @returns name, value, name, value …, trimmed */
export function parseFields(text: string): string[] {
  const fields: string[] = [];
  let at = 0;
  while (at < text.length) {
    const colon = text.indexOf(':', at);
    const end = text.indexOf('\r\n', colon);
    if (colon < 0 || end < 0) break;
    fields.push(text.slice(at, colon), trimmed(text, colon + 1, end));
    at = end + 2;
  }
  return fields;
}

/** `String.trim` removes more than HTTP's whitespace: 0xa0 is part of a value. */
function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09;

/** Lower-case names; repeated fields are combined by Node's rules. No prototype, because `__proto__` is a valid name. */
export function toHeaders(raw: readonly string[]): Headers {
  const headers: Headers = Object.create(null);
  for (let i = 0; i + 1 < raw.length; i += 2) add(headers, raw[i]!.toLowerCase(), raw[i + 1]!);
  return headers;
}

function add(headers: Headers, name: string, value: string): void {
  const known = headers[name];
  if (name === 'set-cookie') {
    if (Array.isArray(known)) known.push(value);
    else headers[name] = [value];
  } else if (known === undefined) headers[name] = value;
  else if (!singletons.has(name)) headers[name] = `${known}${name === 'cookie' ? '; ' : ', '}${value}`;
}
