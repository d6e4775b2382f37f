/** Checks of the arguments of `HttpResponse`, each with an error that states what was expected. */
import { describe, ServerError } from '../errors/index.js';
import { refuse } from '../options/check.js';
import { headerName, headerValue } from './header-fields.js';

/** The value of a header; a list makes a line for each of its values. */
export type HeaderValue = string | number | readonly string[];

/** @throws ServerError ERR_DATA_TYPE */
export function checkData(data: unknown): void {
  if (typeof data === 'string' || data instanceof Uint8Array) return;
  throw new ServerError('ERR_DATA_TYPE', { received: describe(data) });
}

/** @returns the status: 200 to 599 @throws ServerError ERR_HTTP_STATUS */
export function checkStatus(status: unknown): number {
  const isFinal = typeof status === 'number' && Number.isInteger(status) && status >= 200 && status <= 599;
  if (isFinal) return status;
  throw new ServerError('ERR_HTTP_STATUS', { expected: 'an integer from 200 to 599', received: describe(status) });
}

/** @throws ServerError ERR_HTTP_STATUS where it is not 102 to 199 */
export function checkInterim(status: unknown): void {
  const isInterim = Number.isInteger(status) && (status as number) >= 102 && (status as number) <= 199;
  if (!isInterim) throw new ServerError('ERR_HTTP_STATUS', { expected: '102 to 199', received: describe(status) });
}

/** Statuses with which a client follows the redirect by itself. */
const REDIRECTS: ReadonlySet<unknown> = new Set([301, 302, 303, 307, 308]);

/** @throws ServerError ERR_HTTP_HEADER_VALUE, ERR_HTTP_STATUS */
export function checkRedirect(url: unknown, status: unknown): void {
  if (typeof url !== 'string') {
    throw new ServerError('ERR_HTTP_HEADER_VALUE', { name: 'location', received: describe(url) });
  }
  if (!REDIRECTS.has(status)) {
    throw new ServerError('ERR_HTTP_STATUS', { expected: '301, 302, 303, 307 or 308', received: describe(status) });
  }
}

/** @throws ServerError ERR_DATA_TYPE, with what was thrown as its cause */
export function jsonOf(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    const [why] = (cause instanceof Error ? cause.message : describe(cause)).split('\n') as [string];
    throw new ServerError('ERR_DATA_TYPE', { received: describe(value), json: why }, { cause });
  }
  if (text !== undefined) return text;
  throw new ServerError('ERR_DATA_TYPE', { received: describe(value), json: 'it has no text for that' });
}

/** @throws ServerError ERR_HTTP_STATUS, ERR_DATA_TYPE, ERR_HTTP_HEADER_NAME, ERR_HTTP_HEADER_VALUE */
export function checkFailure(status: unknown, message: unknown, fields: unknown): void {
  checkStatus(status);
  if (typeof message !== 'string') checkData(message);
  if (!Array.isArray(fields) || fields.length % 2 !== 0) {
    refuse('ERR_OPTION_TYPE', 'fields', 'a list of names and values in turn', fields);
  }
  for (let at = 0; at < fields.length; at += 2) headerValue(headerName(fields[at]), fields[at + 1]);
}

/** One value for each line. @throws ServerError ERR_HTTP_HEADER_VALUE */
export function checkedValues(name: string, value: HeaderValue): string[] {
  if (!Array.isArray(value)) return [headerValue(name, value)];
  return value.map((one) => headerValue(name, one));
}
