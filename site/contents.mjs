// The order of the guides: of need, from the first server to the inside. A page of docs/ that stands nowhere here fails
// the build.

export const contents = [
  {
    text: 'Begin',
    pages: ['getting-started', 'create', 'http', 'frameworks', 'websocket', 'tasks', 'shared-memory'],
  },
  {
    text: 'Operate',
    pages: ['operating', 'config', 'dashboard', 'metrics', 'opentelemetry', 'debugging', 'performance', 'faq'],
  },
  {
    text: 'Deploy',
    pages: ['deploying', 'behind-a-proxy', 'kubernetes', 'several-machines', 'jobs'],
  },
  {
    text: 'Coming from',
    pages: [
      'migrating/from-pm2',
      'migrating/from-cluster',
      'migrating/from-swoole',
      'migrating/from-ws',
      'migrating/from-bun',
    ],
  },
  {
    text: 'Servers in detail',
    pages: ['lifecycle', 'modes', 'transports', 'tls', 'framing', 'dispatch', 'limits', 'signals'],
  },
  { text: 'Reference', pages: ['options', 'errors', 'wire-format'] },
  { text: 'Inside', pages: ['tour', 'architecture'] },
];
