import type { JobInfo } from '../jobs/queue.js';
import type { DeadJob } from '../messages.js';

/** Of JSON, of a message and of a stack, in characters: each may be a MiB, and a page of them is one control message. */
const MOST_OF_DATA = 500;
const MOST_OF_REASON = 1000;
const MOST_OF_STACK = 1500;

export function toDeadJob({ state: _, data, reason, stack, ...job }: JobInfo): DeadJob {
  return {
    ...job,
    ...(reason !== undefined && { reason: shortened(reason, MOST_OF_REASON) }),
    ...(stack !== undefined && { stack: shortened(stack, MOST_OF_STACK) }),
    ...shortenedData(data),
  };
}

function shortenedData(data: unknown): Pick<DeadJob, 'data' | 'dataStart'> {
  const json = JSON.stringify(data) ?? '';
  return json.length > MOST_OF_DATA ? { dataStart: shortened(json, MOST_OF_DATA) } : { data };
}

const shortened = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}…` : text);
