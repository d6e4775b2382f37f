/** The optional peers and the versions that fit; package.json says the same, and a test compares the two. */
export const peers = {
  ioredis: '^6.0.0',
  '@nats-io/transport-node': '^3.3.1',
  bullmq: '^6.7.0',
  pg: '^8.23.1',
} as const;
