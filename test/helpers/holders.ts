/** A connection for which more processes hold something than its record has places. */
import { MOST_HOLDERS } from '../../src/memory/connection-record.js';
import { Holders } from '../../src/memory/holders.js';
import type { Region } from '../../src/memory/region.js';

const SLOT = 3;

/** Others have all the places; the process of this peer is one more. @returns how many deaths there were */
export function holdBehindAll(region: Region, peer: number): number {
  const holders = new Holders(region, peer);
  for (let pid = 1; pid <= MOST_HOLDERS + 1; pid++) holders.add(SLOT, pid);
  return region.deaths;
}

/** Something that was held for that connection is lost. */
export function isLost(region: Region): boolean {
  return new Holders(region).takeDead(SLOT, () => true);
}
