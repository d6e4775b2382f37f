import { createBells } from '../../src/ipc/bells.js';
import { peerOf, peerOfManager, type RegionShape } from '../../src/memory/layout.js';
import { Region } from '../../src/memory/region.js';
import { MessagingMemory } from '../../src/messaging/memory.js';
import { Messenger } from '../../src/messaging/messenger.js';
import { Overflow } from '../../src/messaging/overflow.js';
import { Peers } from '../../src/messaging/peers.js';
import { Records } from '../../src/messaging/record.js';
import { SharedTaskKeeper } from '../../src/messaging/shared-task-keeper.js';
import { SharedTaskQueue } from '../../src/messaging/shared-task-queue.js';
import { Slots } from '../../src/messaging/slots.js';
import type { DoorbellDescriptors } from '../../src/os/doorbell.js';
import { createSharedFile } from '../../src/os/memory.js';
import { closeDoorbell } from './doorbell.js';
import { testShape } from './test-shape.js';

export interface Member {
  readonly peer: number;
  readonly queue: SharedTaskQueue;
  readonly messenger: Messenger;
  readonly keeper: SharedTaskKeeper;
  readonly memory: MessagingMemory;
}

/** Several processes of a server, all within this one: workers 0 and 1, task workers 2 and 3, and the manager. */
export class MessagingWorld {
  readonly region: Region;
  readonly overflow: Overflow;
  readonly #bells: DoorbellDescriptors[];
  readonly #file: number;
  readonly #options: { limit: number; retries: number };
  readonly #limitBytes: number;

  constructor(options: { limit?: number; retries?: number; limitBytes?: number; shape?: Partial<RegionShape> } = {}) {
    const { limit = 40, retries = 0, limitBytes = 1000, shape } = options;
    this.#options = { limit, retries };
    this.#limitBytes = limitBytes;
    this.region = Region.create(testShape({ workerNum: 2, taskWorkerNum: 2, ...shape }));
    this.#bells = createBells(this.region.shape);
    this.#file = createSharedFile('test', 0);
    this.overflow = new Overflow(this.#file, new MessagingMemory(this.region), 0);
  }

  member(id: number, lane = 0): Member {
    const member = this.#make(peerOf(id, lane));
    const { workerNum, taskWorkerNum } = this.region.shape;
    if (id >= workerNum && id < workerNum + taskWorkerNum) member.queue.takeFor(id);
    return member;
  }

  manager(): Member {
    return this.#make(peerOfManager(this.region.shape));
  }

  close(): void {
    this.overflow.close();
    for (const bell of this.#bells) closeDoorbell(bell);
  }

  #make(peer: number): Member {
    const { region } = this;
    const memory = new MessagingMemory(region);
    const records = new Records(memory, new Overflow(this.#file, memory, peer));
    const slots = new Slots(memory, records, peer);
    const peers = new Peers(region, this.#bells);
    const common = { region, memory, records, slots, peers, peer };
    const queueParts = { ...common, ...this.#options };
    const failed = (error: unknown): never => {
      throw error;
    };
    return {
      peer,
      memory,
      queue: new SharedTaskQueue(queueParts),
      keeper: new SharedTaskKeeper(queueParts),
      messenger: new Messenger({ ...common, limitBytes: this.#limitBytes, failed }),
    };
  }
}
