/** The spans of durable jobs, by the semantic conventions for messaging: the queue is the destination. */
import { type Attributes, carrierOf, SpanKind, type SpanStart } from '../../util/telemetry.js';
import type { JobTask } from '../broker/jobs.js';

const SYSTEM = 'tswoole';

function attributesOf(operation: 'send' | 'process', name: string): Attributes {
  return {
    'messaging.system': SYSTEM,
    'messaging.operation.name': operation,
    'messaging.operation.type': operation,
    'messaging.destination.name': name,
  };
}

/** @param names of the queues @param count of the jobs */
export function sending(names: ReadonlySet<string>, count: number): SpanStart {
  const [name = ''] = names;
  const destination = names.size === 1 ? name : 'jobs';
  const attributes = attributesOf('send', destination);
  if (count > 1) attributes['messaging.batch.message_count'] = count;
  return { name: `send ${destination}`, kind: SpanKind.producer, parent: 'active', attributes };
}

export function processing({ id, name, trace }: JobTask): SpanStart {
  const attributes = { ...attributesOf('process', name), 'messaging.message.id': id };
  return { name: `process ${name}`, kind: SpanKind.consumer, parent: carrierOf(trace), attributes };
}
