/** A request under way, as its line will tell it; as JSON it goes over to another process (BASE mode). */
export interface AccessRecord {
  /** '': nothing is written of it. */
  readonly requestLine: string;
  readonly client: string;
  readonly host: string;
  readonly referer: string;
  readonly userAgent: string;
  /** By `monotonicMs()`. */
  readonly since: number;
  /** 0: the answer has not begun. */
  status: number;
  bytes: number;
  /** Of these, what the client had not taken when its connection was about to end. */
  unsent: number;
  /** How much of the empty line behind the head has left; 4: all of it. */
  headEnd: number;
  /** The answer is whole; some of it may wait for its client. */
  isDone: boolean;
}
