/**
 * Engine.IO, which socket.io stands on, keeps a session in the memory of one process, and its clients poll with one
 * request after another. With several workers each of these must reach the worker that has the session: this one marks the
 * session ids it gives, and the reactor goes by the mark. Runs in a worker, when its app is loaded.
 */
import { createRequire } from 'node:module';
import { sessionSuffix } from '../protocol/http/session-worker.js';

/** The file of each version that has the class. */
const SERVER_FILE = /[\\/]engine\.io[\\/](?:build|lib)[\\/]server\.js$/;

type GenerateId = (request: unknown) => unknown;

/** @returns false: the app has not loaded Engine.IO */
export function markSessions(workerId: number): boolean {
  const { cache } = createRequire(import.meta.url);
  const loaded = Object.entries(cache).filter(([file]) => SERVER_FILE.test(file));
  const prototypes = loaded.flatMap(([, module]) => prototypesOf(module?.exports));
  for (const prototype of prototypes) markIds(prototype, sessionSuffix(workerId));
  return prototypes.length > 0;
}

/** `exports.BaseServer` and `exports.Server`, or (before version 5) the class itself. */
function prototypesOf(exported: unknown): object[] {
  if (exported === null || (typeof exported !== 'object' && typeof exported !== 'function')) return [];
  const classes = [exported, Reflect.get(exported, 'BaseServer'), Reflect.get(exported, 'Server')];
  const prototypes = classes.map((one) => (typeof one === 'function' ? (one.prototype as unknown) : undefined));
  return prototypes.filter(
    (one): one is object => typeof one === 'object' && one !== null && Object.hasOwn(one, 'generateId'),
  );
}

/** An app may have a way of its own to make ids, which it assigns to its server: it is marked as well. */
function markIds(prototype: object, suffix: string): void {
  const original = Reflect.get(prototype, 'generateId') as GenerateId;
  const own = new WeakMap<object, GenerateId>();
  Object.defineProperty(prototype, 'generateId', {
    configurable: true,
    get(this: object): GenerateId {
      const generate = own.get(this) ?? original;
      return async (request) => `${String(await generate.call(this, request))}${suffix}`;
    },
    set(this: object, generate: GenerateId) {
      own.set(this, generate);
    },
  });
}
