/** Addresses as numbers, so that ranges can be put together. Those of IPv4 stand where IPv6 has them (`::ffff:0:0/96`). */
import { isIPv4 } from 'node:net';

/** From the first address to the last one. */
type Span = readonly [first: bigint, last: bigint];

const BITS = 128;
const IPV4_BITS = 32;
const IPV4_AT = 0xffff_0000_0000n;

/** @param range an address or a range, checked before */
function spanOf(range: string): Span {
  const [address = '', bits] = range.split('/');
  const own = isIPv4(address) ? IPV4_BITS : BITS;
  const free = BigInt(own - Number(bits ?? own));
  const first = (numberOf(address) >> free) << free;
  return [first, first + (1n << free) - 1n];
}

function numberOf(address: string): bigint {
  if (isIPv4(address)) return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0xffffn);
  // The form of URLs is always of groups, without the dots of IPv4.
  const [before = '', after] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const [head, tail] = [groups(before), groups(after ?? '')];
  const all = after === undefined ? head : [...head, ...Array<bigint>(8 - head.length - tail.length).fill(0n), ...tail];
  return all.reduce((sum, group) => sum * 0x1_0000n + group, 0n);
}

const groups = (text: string): bigint[] => (text === '' ? [] : text.split(':').map((group) => BigInt(`0x${group}`)));

/** What has all of these has every client: 0/8 and all from 224/4 on are addresses of none; nor are any outside of 2000::/3. */
const everyClient: readonly Span[] = [
  [IPV4_AT + 0x0100_0000n, IPV4_AT + 0xdfff_ffffn],
  [0x2000n << 112n, (0x4000n << 112n) - 1n],
];

/** The ranges together have all addresses that clients of IPv4, or of IPv6, can have. */
export function holdEveryClient(ranges: readonly string[]): boolean {
  const spans = ranges.map(spanOf).sort(([one], [other]) => (one < other ? -1 : 1));
  return everyClient.some((all) => isCovered(all, spans));
}

/** @param spans sorted by their first address */
function isCovered([first, last]: Span, spans: readonly Span[]): boolean {
  let next = first;
  for (const [begin, end] of spans) if (begin <= next && end >= next) next = end + 1n;
  return next > last;
}
