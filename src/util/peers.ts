/** The optional peers and the versions that fit; package.json says the same, and a test compares the two. */
export const peers = {
  ioredis: '^6.0.0',
  '@nats-io/transport-node': '^3.3.1',
  bullmq: '^6.7.0',
  pg: '^8.23.1',
} as const;

/** @param range `^6.7.0`: of the same major version, and not older */
export function fits(version: string, range: string): boolean {
  const [major = 0, minor = 0, patch = 0] = numbersOf(version);
  const [itsMajor = 0, itsMinor = 0, itsPatch = 0] = numbersOf(range);
  if (major !== itsMajor || minor < itsMinor) return false;
  return minor > itsMinor || patch >= itsPatch;
}

function numbersOf(version: string): number[] {
  return [...version.matchAll(/\d+/g)].map(Number);
}
