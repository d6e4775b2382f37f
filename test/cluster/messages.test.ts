/** What nodes send each other, also when it comes from a stranger at the engine. */
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  Asked,
  decodeNodeMessage,
  decodePublication,
  encodeAsk,
  encodeNumbered,
  encodePublication,
  Kind,
  publicationHead,
} from '../../src/cluster/drivers/envelope.js';
import { Membership, type MembershipEvents } from '../../src/cluster/drivers/membership.js';

const id = fc.stringMatching(/^[A-Za-z0-9._-]{1,128}$/);
const incarnation = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/);
const number = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));

describe('an envelope', () => {
  test('gives back what was put in', () => {
    fc.assert(
      fc.property(id, incarnation, number, bytes, (from, start, count, payload) => {
        expect(decodePublication(encodePublication(publicationHead(from), payload))).toEqual({ from, payload });
        const ask = { from, incarnation: start, number: count, to: Asked.members };
        expect(decodeNodeMessage(encodeAsk(ask, payload))).toEqual({ kind: Kind.ask, ...ask, payload });
        for (const kind of [Kind.answer, Kind.failure, Kind.echo]) {
          const expected = { kind, from, number: count, payload };
          expect(decodeNodeMessage(encodeNumbered(kind, from, count, payload))).toEqual(expected);
        }
      }),
    );
  });

  test('that is cut anywhere is ignored, or is a shorter payload', () => {
    const whole = encodeAsk({ from: 'a', incarnation: 'b', number: 7, to: Asked.user }, Buffer.from('payload'));
    const head = whole.length - 'payload'.length;
    for (let end = 0; end < whole.length; end++) {
      expect(decodeNodeMessage(whole.subarray(0, end)) === undefined).toBe(end < head);
    }
  });

  test('of any bytes never throws', () => {
    fc.assert(
      fc.property(bytes, (message) => {
        decodePublication(message);
        decodeNodeMessage(message);
      }),
    );
  });
});

afterEach(() => void vi.useRealTimers());

describe('membership', () => {
  const self = { id: 'a', incarnation: '1', address: '', version: '' };

  function member(): { membership: Membership; told: string[]; sent: Record<string, unknown>[] } {
    const told: string[] = [];
    const sent: Record<string, unknown>[] = [];
    const events: MembershipEvents = {
      send: (announcement) => sent.push(JSON.parse(announcement.toString())),
      nodeUp: (node) => told.push(`up ${node.id}`),
      nodeDown: (node, why) => told.push(`${why} ${node}`),
      replaced: (node) => told.push(`replaced ${node}`),
      taken: (by) => told.push(`taken by ${by.incarnation}`),
      silent: () => told.push('silent'),
      full: (node) => told.push(`full ${node.id}`),
    };
    const membership = new Membership(self, { heartbeatMs: 1000, ttlMs: 5000 }, events);
    membership.join();
    return { membership, told, sent };
  }

  const announce = (membership: Membership, say: string, node: object, more: object = {}) =>
    membership.heard(Buffer.from(JSON.stringify({ say, node, forMs: 0, to: '', ...more })));
  const b = { id: 'b', incarnation: '1', address: '', version: '' };

  test('ignores what is not an announcement', () => {
    const { membership, told } = member();
    for (const junk of ['', '{', 'null', '[]', '1', '"here"', '{"say":"here"}']) membership.heard(Buffer.from(junk));
    for (const node of [null, {}, { ...b, id: 'a/b' }, { ...b, incarnation: '' }, { ...b, version: 1 }]) {
      announce(membership, 'here', node as object);
    }
    announce(membership, 'here', b, { forMs: 'x' });
    announce(membership, 'shout', b);
    fc.assert(fc.property(bytes, (message) => membership.heard(message)));
    expect(told).toEqual([]);
  });

  test('loses a node after the sixth heartbeat without one of its own, and not before', () => {
    const { membership, told } = member();
    announce(membership, 'here', b);
    const tick = () => {
      announce(membership, 'here', self);
      membership.tick();
    };
    for (let i = 0; i < 5; i++) tick();
    announce(membership, 'here', b);
    for (let i = 0; i < 5; i++) tick();
    expect(told).toEqual(['up b']);
    tick();
    expect(told).toEqual(['up b', 'lost b']);
  });

  test('says that it is silent when its own heartbeats do not come back', () => {
    const { membership, told } = member();
    announce(membership, 'here', b);
    for (let i = 0; i < 5; i++) membership.tick();
    expect(told).toEqual(['up b']);
    membership.tick();
    expect(told).toEqual(['up b', 'silent']);
    membership.resume();
    for (let i = 0; i < 5; i++) membership.tick();
    expect(told).toEqual(['up b', 'silent']);
  });

  test('takes no node for lost while its own heartbeats do not come back: the engine stands still', () => {
    const { membership, told } = member();
    announce(membership, 'here', b);
    membership.tick(); // b has missed one more than this node when the engine stops
    announce(membership, 'here', self);
    for (let i = 0; i < 6; i++) membership.tick();
    expect(told).toEqual(['up b', 'silent']);
  });

  test('has a bound, tells once which node it leaves out, and takes it when another one has gone', () => {
    const { membership, told } = member();
    const node = (i: number): object => ({ ...b, id: `n${i}` });
    for (let i = 0; i < 1003; i++) announce(membership, 'here', node(i));
    expect(membership.nodes.length).toBe(1001);
    expect(told.filter((line) => line.startsWith('full'))).toEqual(['full n1000']);
    announce(membership, 'here', node(0));
    announce(membership, 'bye', node(1));
    announce(membership, 'here', node(1002));
    announce(membership, 'here', node(1001));
    expect(told.slice(-4)).toEqual(['full n1000', 'left n1', 'up n1002', 'full n1001']);
    membership.close();
  });

  test('does not bring back a start that has left or was replaced', () => {
    const { membership, told } = member();
    announce(membership, 'here', b);
    announce(membership, 'bye', b);
    announce(membership, 'here', b);
    announce(membership, 'here', { ...b, incarnation: '2' });
    announce(membership, 'here', { ...b, incarnation: '3' });
    announce(membership, 'here', { ...b, incarnation: '2' });
    announce(membership, 'bye', { ...b, incarnation: '2' });
    expect(told).toEqual(['up b', 'left b', 'up b', 'lost b', 'up b']);
    expect(membership.find('b')?.incarnation).toBe('3');
  });

  test('keeps its id against who has lived shorter, and gives it up to who has lived longer', () => {
    const rival = { ...self, incarnation: '2' };
    const { membership, told } = member();
    announce(membership, 'here', rival, { forMs: 0 });
    expect(told).toEqual([]);
    announce(membership, 'here', rival, { forMs: 60_000 });
    expect(told).toEqual(['taken by 2']);
  });

  test('is not kept from starting by a late heartbeat of an earlier start of its id', () => {
    const { membership, told } = member();
    membership.close();
    announce(membership, 'here', { ...self, incarnation: '0' }, { forMs: 60_000 });
    expect(told).toEqual([]);
    announce(membership, 'taken', { ...self, incarnation: '0' }, { to: '1' });
    expect(told).toEqual(['taken by 0']);
  });

  test('tells a starting server of its id that it is taken, and others soon that it is here', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { membership, sent } = member();
    announce(membership, 'hello', { ...self, incarnation: '2' });
    expect(sent.at(-1)).toMatchObject({ say: 'taken', to: '2', node: self });
    for (let i = 0; i < 10; i++) announce(membership, 'hello', { ...b, id: `n${i}` });
    vi.advanceTimersByTime(300);
    expect(sent.map(({ say }) => say)).toEqual(['here', 'taken', 'here']);
    membership.close();
  });
});
