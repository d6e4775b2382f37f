/**
 * One descriptor watched by Node's own event loop: libuv's poll, reached through koffi, which does not document it yet.
 * `test/os/koffi-poll.test.ts` is the contract we rely on.
 */
import { koffi } from './libc.js';

export interface DescriptorWatch {
  update(interest: Interest): void;
  close(): void;
}

export interface Interest {
  readonly readable?: boolean;
  readonly writable?: boolean;
  /** The peer has ended its side. */
  readonly disconnect?: boolean;
}

export interface WatchEvents {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly disconnect: boolean;
}

/**
 * `status` is negative when the poll itself failed, for example on a descriptor that was closed. May not throw: that would
 * silence the watch for good. Node does not know that a callback begins: ticks and promises would go on in the midst of it,
 * where a callback of Node's own ends. So it only notes what came, and asks for an immediate.
 */
type Callback = (status: number, events: WatchEvents) => void;
/** What koffi 3.3.4's types say; it calls with (status, events). */
type DeclaredCallback = (events: WatchEvents) => void;

/** An unreferenced watch is collected and falls silent, so this set holds all of them until they are closed. */
const living = new Set<DescriptorWatch>();

export function watchDescriptor(descriptor: number, interest: Interest, callback: Callback): DescriptorWatch {
  const declared = callback as unknown as DeclaredCallback;
  const handle = koffi.node.poll(descriptor, interest, declared);
  const watch: DescriptorWatch = {
    update(next) {
      if (next.readable || next.writable || next.disconnect) handle.start(next, declared);
      else handle.stop();
    },
    close() {
      if (!living.delete(watch)) return;
      handle.stop();
      handle.close();
    },
  };
  living.add(watch);
  return watch;
}
