/**
 * Engine.IO, the base of socket.io, keeps a session in the memory of one process, and its clients poll with one
 * request after another. With several workers each of these must reach the worker that has the session: the worker
 * marks the session ids it gives, and the reactor dispatches by the mark. Runs in a worker, when its app is loaded.
 */
import { createRequire } from 'node:module';
import { sessionSuffix } from '../protocol/http/session-worker.js';

/** The file that defines the class, in each version. */
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

/**
 * An app may assign its own id generator to its server, at any time: so each handshake checks whether the function
 * it will call marks the ids.
 */
function markIds(prototype: object, suffix: string): void {
  const marking = new WeakSet<GenerateId>();
  const mark = (owner: object): void => {
    const generate = Reflect.get(owner, 'generateId') as GenerateId;
    if (marking.has(generate)) return;
    const marked: GenerateId = async function generateId(this: unknown, request) {
      return `${String(await generate.call(this, request))}${suffix}`;
    };
    marking.add(marked);
    Reflect.set(owner, 'generateId', marked);
  };
  mark(prototype);
  const { handshake } = prototype as { handshake?: (...args: unknown[]) => unknown };
  if (typeof handshake !== 'function') return;
  Reflect.set(prototype, 'handshake', function markedHandshake(this: object, ...args: unknown[]): unknown {
    mark(this);
    return handshake.apply(this, args);
  });
}
