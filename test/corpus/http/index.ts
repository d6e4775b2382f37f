/**
 * Requests and what is to become of them, written from RFC 9110 and RFC 9112. A flat list, for the tests of the parser and
 * for those that ask a whole server.
 */
import { chunks, transferEncodings } from './chunked.js';
import { connections } from './connection.js';
import { contentLengths } from './content-length.js';
import type { Entry } from './entry.js';
import { fields } from './fields.js';
import { hosts } from './host.js';
import { limits } from './limits.js';
import { normalisation } from './normalisation.js';
import { pipelining } from './pipelining.js';
import { requestLine } from './request-line.js';
import { smuggling } from './smuggling.js';
import { targets } from './targets.js';

export { corpusLimits, type Entry, type Meaning, type Verdict } from './entry.js';

export const corpus: readonly Entry[] = [
  ...[...requestLine, ...targets, ...fields, ...hosts, ...contentLengths, ...transferEncodings, ...chunks],
  ...[...connections, ...limits, ...pipelining, ...smuggling, ...normalisation],
];
