/** What a client is told that has used up its `rateLimit`: the same in HTTP/1 and HTTP/2. */

export function tooManyRequests(retryAfterMs: number) {
  const retryAfterSeconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  return { status: 429, why: 'There were too many requests of this client.', retryAfterSeconds };
}
