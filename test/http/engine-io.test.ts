import { createRequire } from 'node:module';
import { afterEach, describe, expect, it } from 'vitest';
import { markSessions } from '../../src/http/engine-io.js';
import { sessionSuffix } from '../../src/protocol/http/session-worker.js';

const { cache } = createRequire(import.meta.url);
const FILE = '/app/node_modules/engine.io/build/server.js';

afterEach(() => {
  for (const file of Object.keys(cache)) if (file.startsWith('/app/')) delete cache[file];
});

/** As Engine.IO has it: a handshake makes the id of a session. */
function makeServer() {
  return class Server {
    made = 0;
    generateId(_request: unknown): unknown {
      return `id${++this.made}`;
    }
    async handshake(request: unknown): Promise<unknown> {
      return this.generateId(request);
    }
  };
}

function load(file: string, exports: unknown): void {
  cache[file] = { exports } as NodeJS.Module;
}

describe('Engine.IO', () => {
  it('marks the ids of its sessions with the worker that keeps them', async () => {
    const Server = makeServer();
    load(FILE, { Server });
    expect(markSessions(3)).toBe(true);
    const server = new Server();
    expect([await server.handshake({}), await server.handshake({})]).toEqual([
      `id1${sessionSuffix(3)}`,
      `id2${sessionSuffix(3)}`,
    ]);
    expect(sessionSuffix(3)).not.toBe(sessionSuffix(4));
  });

  it.each([
    ['as the class itself', (Server: unknown) => Server],
    ['as its base', (BaseServer: unknown) => ({ BaseServer })],
  ])('is known %s', async (_, exportsOf) => {
    const Server = makeServer();
    load('C:\\app\\node_modules\\engine.io\\lib\\server.js'.replace('C:', '/app/'), exportsOf(Server));
    expect(markSessions(1)).toBe(true);
    expect(await new Server().generateId({})).toBe(`id1${sessionSuffix(1)}`);
  });

  it('marks the ids of an app that makes its own, once', async () => {
    const Server = makeServer();
    load(FILE, { Server });
    markSessions(2);
    const server = new Server();
    server.generateId = (request) => Promise.resolve(`own ${request}`);
    expect(await server.handshake('r')).toBe(`own r${sessionSuffix(2)}`);
    expect(await server.handshake('s')).toBe(`own s${sessionSuffix(2)}`);
  });

  it.each([
    ['/app/node_modules/engine.io/build/client.js', makeServer()],
    ['/app/server.js', makeServer()],
    [FILE, null],
    [FILE, {}],
    [FILE, { Server: class {} }],
  ])('is not in use: %s %s', (file, exports) => {
    load(file, exports);
    expect(markSessions(1)).toBe(false);
  });
});
