import { describe, expect, it } from 'vitest';
import { EINTR } from '../../../src/os/libc.js';
import { Life } from '../../../src/reactor/life.js';
import { READS_PER_TURN } from '../../../src/reactor/reading.js';
import { ReactorWorld } from '../../helpers/reactor-world.js';
import { type Spoken, Talk } from './talk.js';

export function readsWhatComes(spoken: Spoken): void {
  const whole = spoken.messages.join('');
  const all = { heard: spoken.expected[2], got: spoken.answers.join('') };
  const result = ({ heard, got }: Talk) => ({ heard, got });
  const cuts = Array.from({ length: whole.length - 1 }, (_, index) => index + 1);
  const inOneWorld = (): ReactorWorld => new ReactorWorld({ ...spoken.options, slots: 1024 });

  describe.each([false, true])('reads what comes (encrypted: %s)', (isEncrypted) => {
    it('gives workers the same, wherever the input is cut', () => {
      const world = inOneWorld();
      for (const at of cuts) {
        const talk = new Talk(spoken, { isEncrypted }, world);
        talk.sends(whole.slice(0, at));
        talk.serve();
        talk.sends(whole.slice(at));
        talk.serve();
        expect({ at, ...result(talk) }).toEqual({ at, ...all });
      }
    });

    it('gives them the same when the pieces come in one go', () => {
      const world = inOneWorld();
      for (const at of cuts) {
        const talk = new Talk(spoken, { isEncrypted }, world);
        talk.sends(whole.slice(0, at), whole.slice(at));
        talk.serve();
        expect({ at, ...result(talk) }).toEqual({ at, ...all });
      }
    });

    it('gives them the same when every byte comes by itself', () => {
      const talk = new Talk(spoken, { isEncrypted });
      for (const byte of whole) {
        talk.sends(byte);
        talk.serve();
      }
      expect(result(talk)).toEqual(all);
    });

    it('takes first what was read before it was a connection, wherever that ends', () => {
      const world = inOneWorld();
      for (const at of cuts) {
        const talk = new Talk(spoken, { isEncrypted }, world);
        world.comesEarly(talk.connection, whole.slice(0, at));
        talk.sends(whole.slice(at));
        talk.serve();
        expect({ at, ...result(talk) }).toEqual({ at, ...all });
      }
    });
  });

  describe('reads as fairly as others', () => {
    it('takes what was read before although nothing follows', () => {
      const talk = new Talk(spoken);
      talk.world.comesEarly(talk.connection, whole);
      talk.world.reading.readSoon(talk.connection);
      talk.world.turn();
      talk.serve();
      expect(result(talk)).toEqual(all);
    });

    it('lets other clients go first after some reads, and goes on', () => {
      const { world, ...talk } = open(new Talk(spoken));
      talk.client.reads = 0;
      talk.client.sent.push(...[...whole].map((byte) => Buffer.from(byte, 'latin1')));
      talk.connection.hangup = true; // a short read is not the last one then
      talk.connection.readable = true;
      world.reading.read(talk.connection);
      expect(talk.client.reads).toBeGreaterThan(0);
      expect(talk.client.reads).toBeLessThanOrEqual(READS_PER_TURN);
      world.turn();
      talk.talk.serve();
      expect(result(talk.talk)).toEqual(all);
    });

    it('looks for the end of a client that the kernel has reported, although a read was short', () => {
      const talk = new Talk(spoken);
      const { world, connection } = talk;
      world.client(connection).sent.push(Buffer.from(spoken.messages[0], 'latin1'), 'end');
      connection.hangup = true;
      connection.readable = true;
      world.reading.read(connection);
      expect(connection.life).toBe(Life.answering);
      talk.serve();
      expect(talk.got).toBe(spoken.answers[0]);
    });

    it('goes on behind a signal that has interrupted a read', () => {
      const talk = new Talk(spoken);
      const [first, second, third] = spoken.messages;
      talk.sends(-EINTR, first, -EINTR, -EINTR, second, third);
      talk.serve();
      expect(result(talk)).toEqual(all);
    });

    it('counts what has come, once', () => {
      const talk = new Talk(spoken);
      const before = receivedBytes(talk);
      talk.sends(whole);
      talk.serve();
      expect(receivedBytes(talk) - before).toBe(whole.length);
    });

    it('keeps nothing in memory when all is served', () => {
      const talk = new Talk(spoken);
      talk.sends(...[...whole]);
      talk.serve();
      expect([talk.connection.input, talk.connection.buffered]).toEqual([null, 0]);
    });

    it.runIf(spoken.long)('gives on a message that is longer than the ring of its worker', () => {
      const talk = new Talk(spoken);
      const message = spoken.long?.(400_000) ?? '';
      const pieces = message.match(/[\s\S]{1,60000}/g) ?? [];
      talk.sends(...pieces);
      talk.serve();
      expect(talk.heard.includes('x'.repeat(390_000))).toBe(true);
    });
  });
}

const receivedBytes = ({ world, connection }: Talk): number =>
  world.table.info(connection.sessionId)?.receivedBytes ?? 0;

function open(talk: Talk) {
  const { world, connection } = talk;
  return { talk, world, connection, client: world.client(connection) };
}
