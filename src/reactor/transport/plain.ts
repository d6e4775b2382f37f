/** Bytes as they are, straight from and to the kernel. Runs in the reactor. */
import { hasSendfile, readFileAt, sendFile } from '../../os/file.js';
import type { Poller } from '../../os/poller.js';
import { sendParts } from '../../os/send-parts.js';
import { closeDescriptor, receive, resetConnection, send, shutdownWrite } from '../../os/socket.js';
import { type ReactorContext, SCRATCH_BYTES } from '../context.js';
import type { FilePart } from '../out-queue.js';
import type { Carried, Transport } from './transport.js';

export class PlainTransport implements Transport {
  readonly drainsByShortRead = true;
  readonly isDirect = true;
  readonly isPlain = true;
  readonly canHandOff = true;
  readonly #context: ReactorContext;

  constructor(context: ReactorContext) {
    this.#context = context;
  }

  receive({ descriptor }: Carried, _target: Buffer, _at: number, address: number, limit: number): number {
    return receive(descriptor, address, limit);
  }

  send({ descriptor }: Carried, _source: Buffer, _at: number, address: number, length: number): number {
    return send(descriptor, address, length);
  }

  sendParts({ descriptor }: Carried, parts: readonly Buffer[], more?: boolean): number {
    return sendParts(descriptor, parts, more);
  }

  sendFile({ descriptor }: Carried, part: FilePart, most: number): number {
    if (hasSendfile) {
      const sent = sendFile(descriptor, part.descriptor, part.offset, most);
      if (sent === 0) throw new Error('it is shorter than it was');
      return sent;
    }
    const { scratch, scratchAddress } = this.#context;
    const read = readFileAt(part.descriptor, scratch, Math.min(most, SCRATCH_BYTES), part.offset);
    if (read === 0) throw new Error('it is shorter than it was');
    return send(descriptor, scratchAddress, read);
  }

  queuedBytes(): number {
    return 0;
  }

  rearm({ descriptor }: Carried, events: number): void {
    this.#poller.rearm(descriptor, events);
  }

  end({ descriptor }: Carried): void {
    shutdownWrite(descriptor);
  }

  flush(): void {}

  reset({ descriptor }: Carried): void {
    this.#poller.remove(descriptor);
    resetConnection(descriptor);
  }

  release({ descriptor }: Carried): void {
    this.#poller.remove(descriptor);
    closeDescriptor(descriptor);
  }

  holdsDescriptor(): boolean {
    return true;
  }

  get #poller(): Poller {
    return this.#context.poller;
  }
}
