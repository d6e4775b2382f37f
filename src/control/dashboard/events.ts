/**
 * The event streams of the dashboard: once a second the state of the server, built once for all viewers, and only while there
 * are any. A viewer gets what has changed since what it last got; one that does not keep up gets nothing meanwhile, and then
 * the newest state. Runs in the master.
 */
import type { ServerResponse } from 'node:http';

const INTERVAL_MS = 1000;
export const MOST_STREAMS = 16;
/** A viewer behind by more than this does not get more: its socket has not taken the state before. */
const BEHIND_BYTES = 64 * 1024;

/** By top-level key. `at` is in every event. */
export type State = Readonly<Record<string, unknown>> & { readonly at: number };

interface Part {
  readonly json: string;
  /** Number of the event in which it last changed. */
  readonly changed: number;
}

interface Viewer {
  readonly response: ServerResponse;
  readonly isAllowed: () => boolean;
  /** Number of the event that it last got; 0: none yet. */
  seen: number;
}

export interface EventsParts {
  /** The whole state, now. */
  build(): State;
  /** Building it, or sending it, has failed. */
  failed(error: unknown): void;
}

export class Events {
  readonly #parts: EventsParts;
  readonly #viewers = new Set<Viewer>();
  readonly #state = new Map<string, Part>();
  #number = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: EventsParts) {
    this.#parts = parts;
  }

  get isFull(): boolean {
    return this.#viewers.size >= MOST_STREAMS;
  }

  /**
   * Begins a stream, with the whole state at once: the browser's Last-Event-ID needs no look, older states are not kept.
   * @param isAllowed asked at each event: false ends the stream
   */
  add(response: ServerResponse, headers: Readonly<Record<string, string>>, isAllowed: () => boolean): void {
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      ...headers,
    });
    response.flushHeaders();
    const viewer: Viewer = { response, isAllowed, seen: 0 };
    this.#viewers.add(viewer);
    response.once('close', () => this.#remove(viewer));
    if (this.#timer === undefined) this.#timer = setInterval(() => this.tick(), INTERVAL_MS).unref();
    this.#build();
    this.#send(viewer);
  }

  tick(): void {
    this.#build();
    for (const viewer of [...this.#viewers]) {
      if (viewer.isAllowed()) this.#send(viewer);
      else this.#end(viewer);
    }
  }

  /** The server stops. */
  close(): void {
    for (const viewer of [...this.#viewers]) this.#end(viewer);
  }

  #build(): void {
    try {
      const state = Object.entries(this.#parts.build()).map(
        ([key, value]) => [key, JSON.stringify(value ?? null)] as const,
      );
      this.#number++;
      for (const [key, json] of state) {
        if (this.#state.get(key)?.json !== json) this.#state.set(key, { json, changed: this.#number });
      }
    } catch (error) {
      this.#parts.failed(error);
    }
  }

  #send(viewer: Viewer): void {
    const { response, seen } = viewer;
    if (response.destroyed || response.writableLength > BEHIND_BYTES || seen === this.#number) return;
    const changed = [...this.#state].filter(([key, part]) => part.changed > seen || key === 'at');
    const data = changed.map(([key, { json }]) => `${JSON.stringify(key)}:${json}`).join(',');
    viewer.seen = this.#number;
    response.write(`event: state\nid: ${this.#number}\ndata: {${data}}\n\n`);
  }

  #end(viewer: Viewer): void {
    this.#remove(viewer);
    viewer.response.end('event: end\ndata: {}\n\n');
  }

  #remove(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    if (this.#viewers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#state.clear();
  }
}
