// A Map in the process itself: what sharing costs is the distance to it.
import { sync } from '../runs.js';
import { mapOperations } from './map-store.js';

export const host = () => ({});

export function open() {
  return Object.fromEntries(Object.entries(mapOperations()).map(([name, operation]) => [name, sync(operation)]));
}
