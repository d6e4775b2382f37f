/** What broker processes of two nodes say to each other: requests of users, calls on connections, publications. */
import { deserialize, serialize } from 'node:v8';
import { checkBytes, checkReadable } from '../../shared/cloned.js';
import type { ConnectionCall } from '../messages.js';
import { isOfKind, SubjectKind } from '../subjects.js';
import { checkUserBytes, mostUserBytes } from '../user-bytes.js';

export type NodeRequest =
  | { readonly ask: 'request'; readonly data: unknown }
  | { readonly ask: 'connection'; readonly call: ConnectionCall }
  /** Replaces this node's workers: `tswoole reload --all-nodes`. */
  | { readonly ask: 'reload' };

export const packValue = (value: unknown): Uint8Array => serialize(value);

/** @throws ServerError ERR_CLUSTER_PAYLOAD */
export function packUserRequest(data: unknown, maxPayload: number): Uint8Array {
  const packed = packValue({ ask: 'request', data });
  if (packed.length > mostUserBytes(maxPayload)) packUserAnswer(data, maxPayload); // its length without what is around it
  return packed;
}

/** @throws ServerError ERR_CLUSTER_PAYLOAD */
export function packUserAnswer(value: unknown, maxPayload: number): Uint8Array {
  const packed = packValue(value);
  checkUserBytes(packed.length, maxPayload);
  return packed;
}

export const unpackValue = (bytes: Uint8Array): unknown => deserialize(bytes);

/** @throws Error for what no broker process of this version sends */
export function unpackRequest(bytes: Uint8Array): NodeRequest {
  const request = deserialize(bytes) as NodeRequest;
  if (!['request', 'connection', 'reload'].includes(request?.ask)) throw new Error('the request cannot be read');
  return request;
}

/**
 * A stranger may publish anything, and a later Node in another format.
 * @param isForeign of another node: its subscribers here read a message of a topic from shared memory, as it is
 */
export function readPublication(
  subject: string,
  bytes: Uint8Array,
  isForeign: boolean,
): { readonly data: unknown } | { readonly error: unknown } {
  try {
    const data = unpackValue(bytes);
    if (isForeign && isOfKind(subject, SubjectKind.topic)) checkReadable(data);
    if (isForeign && isOfKind(subject, SubjectKind.cache)) checkBytes(data);
    return { data };
  } catch (error) {
    return { error };
  }
}
