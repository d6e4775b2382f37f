/**
 * What nodes send each other, around the payload. Texts are ASCII (`names.ts` checks them).
 *
 *     publication  kind=1 · length of id · id · payload
 *     ask          kind=2 · length of id · id · length of incarnation · incarnation · number u32 · to u8 · payload
 *     answer       kind=3 · length of id · id · number u32 · payload
 *     failure      kind=4 · length of id · id · number u32 · JSON of a serialized error
 *     echo         kind=5 · length of id · id · number u32
 *     gap          kind=6 · length of id · id: on a subject, of which that node has lost publications
 */
import type { NodeId } from '../driver.js';

export const Kind = { publication: 1, ask: 2, answer: 3, failure: 4, echo: 5, gap: 6 } as const;
export type NumberedKind = typeof Kind.answer | typeof Kind.failure | typeof Kind.echo;

/** Whom an ask is for: the user's handler, or the driver's own list of members. */
export const Asked = { user: 0, members: 1 } as const;
export type AskedFor = (typeof Asked)[keyof typeof Asked];

/** The most that is put around a payload, 200 bytes, and some for later. */
export const ENVELOPE_BYTES = 208;

export interface Publication {
  readonly from: NodeId;
  readonly payload: Buffer;
}

export type NodeMessage =
  | ({ readonly kind: typeof Kind.ask; readonly incarnation: string; readonly to: number } & Numbered)
  | ({ readonly kind: NumberedKind } & Numbered);

interface Numbered extends Publication {
  readonly number: number;
}

/** Made once per node: the head of all its publications. */
export function publicationHead(from: NodeId): Buffer {
  return headOf(Kind.publication, from);
}

export function encodePublication(head: Buffer, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
}

/** In the place of publications of a subject that this node has lost. */
export function encodeGap(from: NodeId): Buffer {
  return headOf(Kind.gap, from);
}

/** @returns the node that has lost publications of that subject; undefined: the message is no gap */
export function readGap(bytes: Buffer): NodeId | undefined {
  return bytes[0] === Kind.gap ? bytes.toString('latin1', 2, 2 + (bytes[1] ?? 0)) : undefined;
}

/** @returns undefined: not a publication of this version */
export function decodePublication(bytes: Buffer): Publication | undefined {
  const end = 2 + (bytes[1] ?? 0);
  if (bytes[0] !== Kind.publication || bytes.length < end) return undefined;
  return { from: bytes.toString('latin1', 2, end), payload: bytes.subarray(end) };
}

export interface Ask {
  readonly from: NodeId;
  readonly incarnation: string;
  readonly number: number;
  readonly to: AskedFor;
}

export function encodeAsk({ from, incarnation, number, to }: Ask, payload: Uint8Array): Buffer {
  const rest = Buffer.alloc(1 + incarnation.length + 5);
  rest[0] = incarnation.length;
  rest.write(incarnation, 1, 'latin1');
  rest.writeUInt32BE(number, 1 + incarnation.length);
  rest[rest.length - 1] = to;
  return Buffer.concat([headOf(Kind.ask, from), rest, payload]);
}

export function encodeNumbered(kind: NumberedKind, from: NodeId, number: number, payload: Uint8Array): Buffer {
  const rest = Buffer.alloc(4);
  rest.writeUInt32BE(number);
  return Buffer.concat([headOf(kind, from), rest, payload]);
}

/** @returns undefined: not a message of this version */
export function decodeNodeMessage(bytes: Buffer): NodeMessage | undefined {
  const [kind, idLength = 0] = bytes;
  const end = 2 + idLength;
  const from = bytes.toString('latin1', 2, end);
  if (kind === Kind.ask) return decodeAsk(bytes, from, end);
  if (kind !== Kind.answer && kind !== Kind.failure && kind !== Kind.echo) return undefined;
  if (bytes.length < end + 4) return undefined;
  return { kind, from, number: bytes.readUInt32BE(end), payload: bytes.subarray(end + 4) };
}

function decodeAsk(bytes: Buffer, from: NodeId, at: number): NodeMessage | undefined {
  const end = at + 1 + (bytes[at] ?? 0);
  if (bytes.length < end + 5) return undefined;
  const incarnation = bytes.toString('latin1', at + 1, end);
  const number = bytes.readUInt32BE(end);
  return { kind: Kind.ask, from, incarnation, number, to: bytes[end + 4]!, payload: bytes.subarray(end + 5) };
}

function headOf(kind: number, from: NodeId): Buffer {
  return Buffer.concat([Uint8Array.of(kind, from.length), Buffer.from(from, 'latin1')]);
}
