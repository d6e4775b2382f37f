import { Writable } from 'node:stream';
import { ServerError } from '../errors/index.js';

/** The part of an answer that such a stream needs. */
export interface StreamedAnswer {
  write(data: Uint8Array): boolean;
  end(): boolean;
  drain(): Promise<void>;
  destroy(): void;
  readonly ended: boolean;
}

/** An answer as the end of a pipeline: back-pressure goes through it, and a client that goes destroys it. */
export function answerStream(answer: StreamedAnswer, request: { onGone(listener: () => void): void }): Writable {
  const stream = new Writable({
    write(piece: Buffer, _encoding, done) {
      try {
        if (answer.write(piece)) done();
        else if (answer.ended) done(new ServerError('ERR_HTTP_ANSWER_ENDED', { method: 'stream.write()' }));
        else answer.drain().then(() => done(), done);
      } catch (error) {
        done(error as Error);
      }
    },
    final(done) {
      try {
        answer.end();
        done();
      } catch (error) {
        done(error as Error);
      }
    },
    destroy(error, done) {
      answer.destroy();
      done(error);
    },
  });
  request.onGone(() => stream.destroy(new ServerError('ERR_HTTP_CLIENT_GONE', {})));
  return stream;
}
