/** The names under which nodes publish: what a subject is for is its first letter. */
import { createHash } from 'node:crypto';

const MOST_BYTES = 128;

/** For each kind of thing that is published. */
export const SubjectKind = { room: 'r', own: 'm', topic: 't', cache: 'c' } as const;
export type SubjectKind = (typeof SubjectKind)[keyof typeof SubjectKind];

/** Names that are too long with the letter before them are published by their hash. */
export function subjectOf(kind: SubjectKind, name: string): string {
  const subject = `${kind}:${name}`;
  if (Buffer.byteLength(subject) <= MOST_BYTES) return subject;
  return `${kind}#${createHash('sha256').update(name).digest('base64url')}`;
}

export const isOfKind = (subject: string, kind: SubjectKind): boolean => subject[0] === kind;
