import { isIP as isIPOfNode, isIPv6 as isIPv6OfNode } from 'node:net';
import { expect, it } from 'vitest';
import { isIP, isIPv6 } from '../../src/options/ip-address.js';

const texts = [
  ...[
    '127.0.0.1',
    '0.0.0.0',
    '256.1.1.1',
    '1.2.3',
    '01.2.3.4',
    '::1',
    '::',
    'fe80::1%eth0',
    '::ffff:1.2.3.4',
    '2001:db8::1',
  ],
  ...['', ':', 'a:b', ':::', '1.2.3.4:80', '[::1]', 'localhost', 'example.com', '%', ' ::1', '1::2::3'],
];

it.each(texts)('the text %j is an address where it is one for Node', (text) => {
  expect([isIP(text), isIPv6(text)]).toEqual([isIPOfNode(text), isIPv6OfNode(text)]);
});
