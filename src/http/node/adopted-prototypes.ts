/**
 * Express gives each request and each response a prototype of its app when they come (`Object.setPrototypeOf`). V8 then makes
 * a hidden class for each such object: code for it is never fast, and it costs twice what else Node takes for a request.
 * Once the app has given the same prototypes to many requests in turn, the server makes its objects with them, and what the
 * app does changes nothing. Runs in a worker. Why, and figures: docs/decisions/0037-prototypes-of-an-app.md.
 */
import { IncomingMessage, type Server, ServerResponse } from 'node:http';

/** So many requests in turn whose prototypes are the same: more than apps that take turns by chance. */
const IN_TURN = 16;

type Constructor = new (...args: never[]) => object;
type Initialiser = (this: object, ...args: unknown[]) => void;
/** Node reads the classes of a server from it at each request; it has a name, but no other way to it. */
type Classes = Record<symbol, Constructor | undefined>;

export class AdoptedPrototypes {
  readonly #requests: Kind | null;
  readonly #responses: Kind | null;

  constructor(server: Server) {
    const request = (): IncomingMessage => new IncomingMessage(null as never);
    this.#requests = kindOf(server, IncomingMessage, request);
    this.#responses = kindOf(server, ServerResponse, () => new ServerResponse(request()));
  }

  /** To be told when an answer is complete. */
  saw(request: IncomingMessage, response: ServerResponse): void {
    this.#requests?.saw(Object.getPrototypeOf(request));
    this.#responses?.saw(Object.getPrototypeOf(response));
  }
}

/** @param own Node's class @returns null: this Node keeps it elsewhere, or the app has given the server another one */
function kindOf(server: Server, own: Constructor, fresh: () => object): Kind | null {
  const classes = server as unknown as Classes;
  const key = Object.getOwnPropertySymbols(server).find(({ description }) => description === own.name);
  return key === undefined || classes[key] !== own || isClass(own) ? null : new Kind(classes, key, fresh);
}

/** It could not be called on an object that is there, and `Reflect.construct` with another prototype is slow. */
function isClass(own: Constructor): boolean {
  return Function.prototype.toString.call(own).startsWith('class');
}

class Kind {
  readonly #classes: Classes;
  readonly #key: symbol;
  readonly #fresh: () => object;
  /** Node's class. */
  readonly #own: Constructor;
  /** Of the objects that the server makes now. */
  #prototype: object | null;
  #candidate: object | null = null;
  #inTurn = 0;

  constructor(classes: Classes, key: symbol, fresh: () => object) {
    this.#classes = classes;
    this.#key = key;
    this.#fresh = fresh;
    this.#own = classes[key] as Constructor;
    this.#prototype = this.#own.prototype;
  }

  saw(prototype: object | null): void {
    if (prototype === this.#prototype) {
      this.#inTurn = 0;
    } else if (prototype !== this.#candidate) {
      this.#candidate = prototype;
      this.#inTurn = 1;
    } else if (++this.#inTurn === IN_TURN) {
      this.#adopt(prototype);
    }
  }

  #adopt(prototype: object | null): void {
    const own = this.#own;
    if (prototype === null || !addsOnly(prototype, own.prototype, this.#fresh())) return;
    const Adopted = function (this: object, first: unknown, second: unknown): void {
      (own as unknown as Initialiser).call(this, first, second);
    } as unknown as Constructor;
    Adopted.prototype = prototype;
    this.#classes[this.#key] = Adopted;
    this.#prototype = prototype;
  }
}

/**
 * Whether a prototype inherits from that of the class and has names of its own only: then neither Node nor anybody who sees
 * an object before the app does finds anything else than before.
 */
function addsOnly(prototype: object, base: object, fresh: object): boolean {
  for (let at: object | null = prototype; at !== base; at = Object.getPrototypeOf(at)) {
    if (at === null || Reflect.ownKeys(at).some((key) => key !== 'constructor' && key in fresh)) return false;
  }
  return true;
}
