/** Checks of the arguments of `HttpResponse`, each with an error that states what was expected. */
import { describe, ServerError } from '../errors/index.js';
import { headerValue } from './header-fields.js';

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

/** One value for each line. @throws ServerError ERR_HTTP_HEADER_VALUE */
export function checkedValues(name: string, value: HeaderValue): string[] {
  if (!Array.isArray(value)) return [headerValue(name, value)];
  return value.map((one) => headerValue(name, one));
}
