/** Who starts which package manager, and how its parts are named. */
export const managers = {
  npm: { lock: 'package-lock.json', image: 'npm install', production: '--omit=dev', run: 'npm run' },
  pnpm: { lock: 'pnpm-lock.yaml', image: 'npx --yes pnpm@10 install', production: '--prod', run: 'pnpm run' },
  yarn: { lock: 'yarn.lock', image: 'npx --yes yarn@1 install', production: '--production', run: 'yarn run' },
  bun: { lock: 'bun.lock', image: 'npx --yes bun@1 install', production: '--production', run: 'bun run' },
};

/** What each template is, and what it needs beside tswoole. `parts` are folders of `templates/_shared`. */
export const templates = {
  tcp: {
    about: 'a TCP server that answers lines',
    port: 9501,
    next: 'echo hello | nc -N 127.0.0.1 9501   # or: telnet 127.0.0.1 9501',
  },
  http: {
    about: 'an HTTP API with a counter that all workers share',
    port: 8080,
    next: "curl 'http://127.0.0.1:8080/hello?name=Anna'",
  },
  'websocket-chat': {
    about: 'a chat in rooms; its connections survive reloads and crashes of workers',
    port: 8080,
    parts: ['websocket'],
    next: 'xdg-open http://127.0.0.1:8080   # and a second time: two windows',
  },
  hono: {
    about: 'a Hono app in supervised workers',
    port: 8080,
    parts: ['app'],
    dependencies: { hono: '^4.13.0' },
    next: 'curl http://127.0.0.1:8080/hello/Anna',
  },
  express: {
    about: 'an Express app in supervised workers',
    port: 8080,
    parts: ['app'],
    dependencies: { express: '^5.3.0' },
    types: { '@types/express': '^5.0.6' },
    next: 'curl http://127.0.0.1:8080/hello/Anna',
  },
  fastify: {
    about: 'a Fastify app in supervised workers',
    port: 8080,
    parts: ['app'],
    dependencies: { fastify: '^5.12.0' },
    next: 'curl http://127.0.0.1:8080/hello/Anna',
  },
  tasks: {
    about: 'an HTTP server that gives CPU-bound work to task workers',
    port: 8080,
    next: 'curl -d secret http://127.0.0.1:8080/hash',
  },
  cluster: {
    about: 'a chat over several machines, by Redis',
    port: 8080,
    parts: ['websocket'],
    dependencies: { ioredis: '^6.0.0' },
    next: 'start a second node with PORT=8081 NODE_ID=b beside a Redis, and open both in a browser',
  },
};
