/** What an entry of the corpus is, and the words it is written in. */

export interface Meaning {
  readonly method: string;
  readonly target: string;
  readonly version: '1.0' | '1.1';
  /** Those of interest, in their order, as [name, value]; others may be there. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** latin1. */
  readonly body: string;
  /** Field lines behind a chunked body, as sent. */
  readonly trailers: string;
  readonly keepAlive: boolean;
  readonly expectsContinue: boolean;
  readonly isUpgrade: boolean;
}

export interface Verdict {
  /** The requests that are accepted, in their order. What follows one without `keepAlive` is not read. */
  readonly accept: readonly Meaning[];
  /** The status that what comes then is refused with. */
  readonly refuse?: number;
}

export interface Case {
  readonly title: string;
  /** Where it is said; RFC 9112 where no RFC is named. */
  readonly section: string;
  /** latin1: what a client sends on one connection. */
  readonly bytes: string;
  readonly verdict: Verdict;
}

export interface Entry extends Case {
  readonly theme: string;
}

/** The limits that the entries are written for. Those of other themes than `limits` keep within any usual ones. */
export const corpusLimits = {
  lineBytes: 1000,
  headerBytes: 2000,
  headerCount: 20,
  bodyBytes: 2000,
  extensionBytes: 100,
  trailerBytes: 200,
  trailerCount: 4,
} as const;

const plain: Meaning = {
  method: 'GET',
  target: '/',
  version: '1.1',
  fields: [],
  body: '',
  trailers: '',
  keepAlive: true,
  expectsContinue: false,
  isUpgrade: false,
};

/** `GET / HTTP/1.1` that is kept alive, but for what is told. */
export function request(difference: Partial<Meaning> = {}): Meaning {
  return { ...plain, ...difference };
}

export function post(body: string, difference: Partial<Meaning> = {}): Meaning {
  return { ...plain, method: 'POST', body, ...difference };
}

export function accepts(section: string, title: string, bytes: string, ...accept: Meaning[]): Case {
  return { title, section, bytes, verdict: { accept: accept.length > 0 ? accept : [plain] } };
}

export function refuses(section: string, title: string, bytes: string, refuse = 400, ...accept: Meaning[]): Case {
  return { title, section, bytes, verdict: { accept, refuse } };
}

export function theme(name: string, cases: readonly Case[]): Entry[] {
  return cases.map((each) => ({ ...each, theme: name }));
}

/** A head of these lines. */
export function head(...lines: string[]): string {
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** A GET of HTTP/1.1 with these field lines behind its Host. */
export function get(...lines: string[]): string {
  return head('GET / HTTP/1.1', 'Host: a.example', ...lines);
}

/** A POST of HTTP/1.1 with these field lines behind its Host. */
export function posted(body: string, ...lines: string[]): string {
  return head('POST / HTTP/1.1', 'Host: a.example', ...lines) + body;
}

/** How a byte is named in a title. */
export function byteName(code: number): string {
  return `0x${code.toString(16).padStart(2, '0')}`;
}
