/** The checks of names: subjects, keys, node ids. */
import { describe, ServerError, told } from '../errors/index.js';
import { refuse } from '../options/check.js';
import { clonedBytes, MOST_LEVELS } from '../shared/cloned.js';
import type { NodeInfo } from './driver.js';

const MOST_BYTES = 128;

/** Any text that survives UTF-8: two different subjects must never become the same bytes. */
export function checkName(what: 'subject' | 'key' | 'member', value: unknown): asserts value is string {
  const expected = `a well-formed text of 1 to ${MOST_BYTES} bytes of UTF-8`;
  const fits = typeof value === 'string' && value !== '' && value.length <= MOST_BYTES && value.isWellFormed();
  if (fits && Buffer.byteLength(value) <= MOST_BYTES) return;
  throw told(new ServerError('ERR_CLUSTER_SUBJECT', { what, expected, received: describe(value) }));
}

const MOST_META_BYTES = 16 * 1024;

/** @returns as JSON @throws ServerError ERR_OPTION_VALUE: JSON cannot express it; ERR_CLUSTER_PAYLOAD, ERR_DATA_NOT_CLONEABLE */
export function metaText(meta: unknown): string {
  const json = jsonOf(meta);
  if (json === undefined) return refuse('ERR_OPTION_VALUE', 'meta', 'what JSON can express', meta);
  const bytes = Buffer.byteLength(json);
  if (bytes > MOST_META_BYTES)
    throw told(new ServerError('ERR_CLUSTER_PAYLOAD', { what: 'The JSON of a meta', bytes, most: MOST_META_BYTES }));
  // Each level has two bytes at least. Lists of members are messages, too.
  if (bytes > 2 * MOST_LEVELS) clonedBytes(JSON.parse(json));
  return json;
}

function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

const shapes = {
  id: { shape: /^[A-Za-z0-9._-]{1,128}$/, expected: '1 to 128 of A-Z, a-z, 0-9, ".", "_" and "-"' },
  incarnation: { shape: /^[A-Za-z0-9._-]{1,64}$/, expected: '1 to 64 of A-Z, a-z, 0-9, ".", "_" and "-"' },
  address: { shape: /^[^\p{Cc}]{0,256}$/u, expected: 'at most 256 printable characters' },
  version: { shape: /^[^\p{Cc}]{0,64}$/u, expected: 'at most 64 printable characters' },
} as const;

const nodeFields = Object.keys(shapes) as (keyof typeof shapes)[];

/** @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_VALUE */
export function checkNodeId(name: string, value: unknown): asserts value is string {
  const { shape, expected } = shapes.id;
  const needed = `the id of a node, ${expected}`;
  if (typeof value !== 'string') refuse('ERR_OPTION_TYPE', name, needed, value);
  if (!shape.test(value)) refuse('ERR_OPTION_VALUE', name, needed, value);
}

/** @throws ServerError ERR_OPTION_VALUE, with the name `cluster.node.FIELD` */
export function checkNode(node: NodeInfo): void {
  for (const field of nodeFields) {
    const value: unknown = node[field];
    const { shape, expected } = shapes[field];
    if (typeof value !== 'string' || !shape.test(value))
      refuse('ERR_OPTION_VALUE', `cluster.node.${field}`, expected, value);
  }
}

/** What another process said it is; undefined when that is not a node. */
export function readNode(value: unknown): NodeInfo | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const given = value as Record<string, unknown>;
  for (const field of nodeFields) {
    const text = given[field];
    if (typeof text !== 'string' || !shapes[field].shape.test(text)) return undefined;
  }
  const { id, incarnation, address, version } = given as unknown as NodeInfo;
  return { id, incarnation, address, version };
}
