/** How a message is sent, to one or to a room. */
import { isPlainObject, refuse } from '../options/check.js';
import { refuseUnknownNames } from '../options/known-names.js';

/** How a message is sent. */
export interface PushOptions {
  /** False: it is sent as it is, though the client takes compressed messages. Default: true. */
  readonly compress?: boolean | undefined;
}

/** How a message is published. */
export interface PublishOptions extends PushOptions {
  /** Session ids of members that do not get it. */
  readonly except?: number | readonly number[] | undefined;
}

const NOBODY: readonly number[] = [];
/** Their number is written in 16 bits. */
const MOST = 65_535;
const EXPECTED = 'a session id, or a list of session ids';

/** @returns who does not get it @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_RANGE, ERR_OPTION_UNKNOWN */
export function exceptOf(options: PublishOptions | undefined): readonly number[] {
  if (options === undefined) return NOBODY;
  if (!isPlainObject(options)) refuse('ERR_OPTION_TYPE', 'options', '{ except, compress }', options);
  refuseUnknownNames('options', options, ['except', 'compress']);
  checkCompress(options);
  const { except } = options;
  if (except === undefined) return NOBODY;
  const list: readonly unknown[] = Array.isArray(except) ? except : [except];
  if (list.length > MOST) refuse('ERR_OPTION_RANGE', 'options.except', `a list of at most ${MOST}`, list.length);
  for (const fd of list) if (!Number.isSafeInteger(fd)) refuse('ERR_OPTION_TYPE', 'options.except', EXPECTED, fd);
  return list as readonly number[];
}

/** @returns whether it may be compressed @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN */
export function mayCompress(options: PushOptions | undefined): boolean {
  if (options === undefined) return true;
  if (!isPlainObject(options)) refuse('ERR_OPTION_TYPE', 'options', '{ compress }', options);
  refuseUnknownNames('options', options, ['compress']);
  return checkCompress(options);
}

function checkCompress({ compress = true }: PushOptions): boolean {
  if (typeof compress === 'boolean') return compress;
  return refuse('ERR_OPTION_TYPE', 'options.compress', 'true or false', compress);
}
