/**
 * Bytes of one connection that are an incomplete packet, or found no room. It exists only while bytes wait, and
 * grows with what has come, never with a length that a client claims.
 */
const FIRST_BYTES = 4096;

type Gone = Pick<Input, 'sent' | 'worker'>;
export type InputState = Pick<Input, 'searched' | 'packetBytes' | 'sent' | 'worker'>;

export class Input {
  bytes: Buffer;
  from = 0;
  to: number;
  /** How much of the packet at `from` was searched without success. */
  searched = 0;
  /** The whole length of the packet at `from`, once known; 0 before. */
  packetBytes = 0;
  /** How much of that packet already lies in its worker's ring. */
  sent = 0;
  /** The worker that was chosen for the packet at `from`; −1 before. */
  worker = -1;

  /** @param space where it begins to lie, if it fits */
  constructor(bytes: Buffer, from: number, to: number, space?: Buffer) {
    const fits = space !== undefined && space.length >= to - from;
    this.bytes = fits ? space : Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, to - from));
    this.to = bytes.copy(this.bytes, 0, from, to);
  }

  /** Begins with a packet of which `sent` bytes have gone to `worker`. */
  static waiting(bytes: Buffer, from: number, to: number, packetBytes: number, gone: Gone): Input {
    const input = new Input(bytes, from, to);
    input.packetBytes = packetBytes;
    input.sent = gone.sent;
    input.worker = gone.worker;
    return input;
  }

  /** As it was in the preceding process. */
  static restored(bytes: Buffer, state: InputState): Input {
    return Object.assign(new Input(bytes, 0, bytes.length), state);
  }

  get state(): InputState {
    const { searched, packetBytes, sent, worker } = this;
    return { searched, packetBytes, sent, worker };
  }

  get length(): number {
    return this.to - this.from;
  }

  append(bytes: Buffer, count: number): void {
    if (this.to + count > this.bytes.length) this.#makeRoom(count);
    this.to += bytes.copy(this.bytes, this.to, 0, count);
  }

  /** Drops the packet at `from`, which is handled. */
  shift(): void {
    this.from += this.packetBytes;
    this.searched = 0;
    this.packetBytes = 0;
    this.sent = 0;
    this.worker = -1;
  }

  #makeRoom(count: number): void {
    const { length } = this;
    const wanted = length + count;
    const target = wanted > this.bytes.length ? Buffer.allocUnsafeSlow(Math.max(wanted, length * 2)) : this.bytes;
    this.bytes.copy(target, 0, this.from, this.to);
    this.bytes = target;
    this.from = 0;
    this.to = length;
  }
}
