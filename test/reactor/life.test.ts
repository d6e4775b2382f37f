import { describe, expect, it } from 'vitest';
import type { Connection } from '../../src/reactor/connection.js';
import { checkMove, Life } from '../../src/reactor/life.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

type Word = keyof typeof Life;

const legal: readonly (readonly [from: Word, to: Word, why: string])[] = [
  ['open', 'answering', 'the client has ended its side, its worker may still answer'],
  ['open', 'closing', 'a process, or a rule of the server, closes it'],
  ['open', 'closed', 'the socket has failed, or is reset'],
  ['answering', 'open', 'HTTP/1: the answer is whole, requests from before the end of the client come next'],
  ['answering', 'closing', 'the answer is whole'],
  ['answering', 'closed', 'the client cannot be answered any more'],
  ['closing', 'lingering', 'all that was queued has left, the client may still send'],
  ['closing', 'closed', 'all that was queued has left, or never will'],
  ['lingering', 'closed', 'the client has ended its side, or its time is over'],
];

const illegal: readonly (readonly [from: Word, to: Word, why: string])[] = [
  ['open', 'open', 'a move that is none hides a mistake in the state before'],
  ['open', 'lingering', 'bytes that are queued would be lost'],
  ['answering', 'answering', 'its deadline would begin anew without a cause'],
  ['answering', 'lingering', 'bytes that are queued would be lost'],
  ['closing', 'open', 'its worker may have been told of the end'],
  ['closing', 'answering', 'nothing that a worker still sends counts'],
  ['closing', 'closing', 'the reason that was given first stands'],
  ['lingering', 'open', 'the socket is shut down for writing'],
  ['lingering', 'answering', 'the socket is shut down for writing'],
  ['lingering', 'closing', 'nothing is queued any more'],
  ['lingering', 'lingering', 'its deadline would begin anew for ever'],
  ['closed', 'open', 'the descriptor may be that of another client by now'],
  ['closed', 'answering', 'the descriptor may be that of another client by now'],
  ['closed', 'closing', 'the descriptor may be that of another client by now'],
  ['closed', 'lingering', 'the descriptor may be that of another client by now'],
  ['closed', 'closed', 'what is counted off at the end would be counted off twice'],
];

describe("a connection's life", () => {
  it.each(legal)('goes from %s to %s: %s', (from, to) => {
    expect(() => checkMove(Life[from], Life[to])).not.toThrow();
  });

  it.each(illegal)('does not go from %s to %s: %s', (from, to) => {
    expect(() => checkMove(Life[from], Life[to])).toThrow(`a connection cannot go from ${from} to ${to}`);
  });

  it('has no other moves', () => {
    const words = Object.keys(Life) as Word[];
    expect(legal.length + illegal.length).toBe(words.length ** 2);
  });

  it('is left as it was by a move that is not legal', () => {
    const connection = aConnection();
    expect(() => connection.moveTo(Life.lingering)).toThrow('from open to lingering');
    expect(connection.life).toBe(Life.open);
  });

  it.each([
    ['open', false, false],
    ['answering', false, false],
    ['closing', true, false],
    ['lingering', true, false],
    ['closed', true, true],
  ] as const)('%s: closing %s, closed %s', (word, isClosing, isClosed) => {
    const connection = aConnection();
    connection.restoreLife(Life[word]);
    expect([connection.isClosing, connection.isClosed]).toEqual([isClosing, isClosed]);
  });
});

function aConnection(): Connection {
  const world = new ReactorWorld();
  return world.connect();
}
