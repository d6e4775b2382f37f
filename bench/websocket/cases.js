// What is measured. `load` are options of load.c; a server is left out of the cases that it cannot do.
import { constants, deflateRawSync } from 'node:zlib';

const echo = (title, load) => ({ title, mode: 'echo', load: { connections: 64, 'in-flight': 1, ...load } });
const broadcast = (title, inFlight) => ({
  title,
  mode: 'broadcast',
  load: { connections: 1000, bytes: 64, 'in-flight': inFlight },
});

export const cases = [
  echo('echo, 16 B', { bytes: 16 }),
  echo('echo, 1 KiB', { bytes: 1024 }),
  echo('echo, 64 KiB', { bytes: 65_536 }),
  echo('echo, 16 B, 16 in flight', { bytes: 16, 'in-flight': 16 }),
  echo('echo, 16 B, 16 in flight, gathered by the client', { bytes: 16, 'in-flight': 16, gathered: true }),
  broadcast('broadcast, 64 B to 1,000', 1),
  broadcast('broadcast, 64 B to 1,000, four outstanding', 4),
  { ...echo('deflate echo, 1 KiB JSON', {}), isCompressed: true },
  { title: 'idle', mode: 'idle', load: { connections: 2000 } },
];

/** JSON of a little more than 1 KiB, as a client sends it with permessage-deflate: without the last four bytes. */
export function compressedPayload() {
  const items = Array.from({ length: 15 }, (_, i) => ({ id: i * 7919, name: `user-${(i * 31) % 17}`, score: i / 7 }));
  const text = JSON.stringify({ type: 'update', items, more: 'abcdefgh'.repeat(14) }).padEnd(1024);
  return deflateRawSync(text, { level: 6, finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
}
