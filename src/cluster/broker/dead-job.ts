import type { JobInfo } from '../jobs/queue.js';
import type { DeadJob } from '../messages.js';

/** Of JSON that a line shows, and of a message of an error: both may be a MiB. */
const MOST_OF_DATA = 500;
const MOST_OF_REASON = 1000;

export function toDeadJob({ id, attemptsMade, enqueuedAt, startedAt, endedAt, reason, data }: JobInfo): DeadJob {
  return {
    ...{ id, attemptsMade, enqueuedAt },
    ...(startedAt !== undefined && { startedAt }),
    ...(endedAt !== undefined && { endedAt }),
    ...(reason !== undefined && { reason: shortened(reason, MOST_OF_REASON) }),
    data: shortened(JSON.stringify(data) ?? '', MOST_OF_DATA),
  };
}

const shortened = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}…` : text);
