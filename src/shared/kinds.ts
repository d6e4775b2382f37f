/** What lies in an arena. Their numbers are written to files: new ones come last. */
export const kinds = [
  'table',
  'atomic',
  'lock',
  'semaphore',
  'cache',
  'limiter',
  'once',
  'topic',
  'waiters',
  'file',
] as const;
export type Kind = (typeof kinds)[number];
