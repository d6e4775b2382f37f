import { describe, expect, it } from 'vitest';
import { renewTicketSecret, ticketKeysFor } from '../../src/listen/ticket-keys.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const rules = ['', { cert: 'a', key: 'b' }, false, false];

describe('the keys of session tickets', () => {
  it('are those of everyone who has the secret, and asks for the same', () => {
    const region = Region.create(testShape());
    renewTicketSecret(region);
    const same = ticketKeysFor(Region.open(region.descriptor).ticketSecret, structuredClone(rules));
    expect(same).toHaveLength(48);
    expect(ticketKeysFor(region.ticketSecret, rules)).toEqual(same);
  });

  it.each([
    ['another name', ['b', ...rules.slice(1)]],
    ['another certificate', ['', { cert: 'c', key: 'b' }, false, false]],
    ['issuers of client certificates', ['', { cert: 'a', key: 'b', ca: 'd' }, false, false]],
    ['that clients are asked for one', [...rules.slice(0, 2), true, false]],
    ['that they must have one', [...rules.slice(0, 2), true, true]],
  ])('are others for %s', (_, others) => {
    const secret = Buffer.alloc(32, 7);
    expect(ticketKeysFor(secret, others)).not.toEqual(ticketKeysFor(secret, rules));
  });

  it('are others with each secret, and there are none without', () => {
    const region = Region.create(testShape());
    expect(ticketKeysFor(region.ticketSecret, rules)).toBe(undefined);
    renewTicketSecret(region);
    const before = ticketKeysFor(region.ticketSecret, rules);
    renewTicketSecret(region);
    expect(ticketKeysFor(region.ticketSecret, rules)).not.toEqual(before);
  });
});
