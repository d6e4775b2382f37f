/**
 * An answer from another process than the one that got its request: `res.detach()` gives the number by which
 * `server.response()` finds the request. Runs in every process that can send.
 */
import { readTicket } from '../ipc/frames/http.js';
import type { Outbox } from '../ipc/outbox.js';
import { AnswerFrames } from './answer-frames.js';
import { AnswerHeads } from './answer-head.js';
import { Http1Exchange, type Http1Host } from './http1-exchange.js';
import { defaultRequestLimits, HttpRequest, type Peer } from './request.js';
import { HttpResponse } from './response.js';

const NOTHING = Buffer.alloc(0);

/** Creates the answers of one process. */
export class DetachedAnswers {
  readonly #host: Http1Host;

  constructor(outbox: () => Outbox, remote: (fd: number) => Peer) {
    let frames: AnswerFrames | undefined;
    this.#host = {
      get outbox() {
        return outbox();
      },
      get frames() {
        const present = outbox();
        if (frames?.outbox !== present) frames = new AnswerFrames(present);
        return frames;
      },
      ...{ remote, heads: new AnswerHeads(), isDraining: false, isLeaving: false, seesEnds: false },
      answered: () => {}, // the figures are those of workers
      ended: () => {},
      detached: () => {},
      openTunnel: () => {
        throw new Error('a detached answer cannot become a tunnel');
      },
    };
  }

  response(fd: number, ticket: number): HttpResponse {
    const exchange = new Http1Exchange(this.#host, {
      ...readTicket(ticket),
      ...{ fd, flags: 0, second: 0, bytes: NOTHING, at: 0, end: 0 },
    });
    const request = new HttpRequest(exchange, this.#host.remote, defaultRequestLimits);
    return new HttpResponse(exchange, request, { compression: null });
  }
}
