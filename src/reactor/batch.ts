import type { SendBatch } from '../os/send-batch.js';

/** Sends to several clients in one call. */
export type Batch = Pick<SendBatch, 'isUsable' | 'isFull' | 'add' | 'submit' | 'resultOf'>;
