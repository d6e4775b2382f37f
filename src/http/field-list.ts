/** Field lines in one flat array: name (lower case), value, name, value … Searched from the start: an answer has few. */
import type { FieldList } from './exchange.js';

/** @returns -1: not found */
export function indexOfField(fields: FieldList, name: string): number {
  for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return at;
  return -1;
}

export function valuesOfField(fields: FieldList, name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) values.push(fields[at + 1]!);
  return values;
}

/** Sets one line of that name and removes the others; it stands where the first one was. */
export function setField(fields: string[], name: string, value: string): void {
  const at = indexOfField(fields, name);
  if (at === -1) {
    fields.push(name, value);
    return;
  }
  fields[at + 1] = value;
  removeFields(fields, name, at + 2);
}

/** Removes every line of that name, from `start` on. */
export function removeFields(fields: string[], name: string, start = 0): void {
  let kept = start;
  for (let at = start; at < fields.length; at += 2) {
    if (fields[at] === name) continue;
    fields[kept] = fields[at]!;
    fields[kept + 1] = fields[at + 1]!;
    kept += 2;
  }
  fields.length = Math.min(kept, fields.length);
}

/** As an object without a prototype; of several lines an array. */
export function fieldObject(fields: FieldList): Record<string, string | string[]> {
  const object = Object.create(null) as Record<string, string | string[]>;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at]!;
    const before = object[name];
    if (before === undefined) object[name] = fields[at + 1]!;
    else if (Array.isArray(before)) before.push(fields[at + 1]!);
    else object[name] = [before, fields[at + 1]!];
  }
  return object;
}
