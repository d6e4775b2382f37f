/** Of Node, where no authority that it knows has signed the certificate of the engine. */
const UNKNOWN_AUTHORITY = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
/** Of ioredis, which reads what another server has said. */
const NO_REDIS = /^Unknown RESP type/;
const PLEASE = /\. Please report this\.$/;
const OTHER_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID';

/** What an error of a connection says, and what there is to do about it. */
export function withAdvice(message: string, code: string | undefined): string {
  if (NO_REDIS.test(message)) return `it does not speak Redis (${message.replace(PLEASE, '')})`;
  if (code === OTHER_NAME) return `${message}; the URL must have a name that its certificate is for`;
  if (code === undefined || !UNKNOWN_AUTHORITY.has(code)) return message;
  return `${message}; the authority that signed its certificate must be in tls.ca`;
}
