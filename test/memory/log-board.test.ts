import { describe, expect, it } from 'vitest';
import { LOG_TEXT_BYTES, LogBoard } from '../../src/memory/log-board.js';
import { Region } from '../../src/memory/region.js';
import { monotonicMs } from '../../src/util/clock.js';
import { testShape } from '../helpers/test-shape.js';

const open = (logSlots = 4): { region: Region; board: LogBoard } => {
  const region = Region.create(testShape({ logSlots }));
  return { region, board: new LogBoard(region) };
};
const write = (board: LogBoard, ...texts: string[]): void => {
  for (const text of texts) board.write('info', 'worker 0', text, monotonicMs());
};

describe('the lines of the log in shared memory', () => {
  it('are none at first', () => {
    expect(open().board.read(0)).toEqual({ lines: [], newest: 0, lost: 0 });
  });

  it('say when which process has written what', () => {
    const { region, board } = open();
    board.write('warn', 'worker 3', 'a room is full: 日本', 1000);
    expect(new LogBoard(Region.open(region.descriptor)).read(0)).toEqual({
      lines: [
        {
          ...{ number: 1, at: region.unixMs(1000), level: 'warn' },
          ...{ source: `worker 3[${process.pid}]`, text: 'a room is full: 日本' },
        },
      ],
      ...{ newest: 1, lost: 0 },
    });
  });

  it('are those after a number, and the overwritten ones are counted', () => {
    const { board } = open();
    write(board, 'a', 'b', 'c', 'd', 'e', 'f');
    const texts = (after: number): unknown => board.read(after).lines.map(({ text }) => text);
    expect([texts(0), board.read(0).lost]).toEqual([['c', 'd', 'e', 'f'], 2]);
    expect([texts(1), board.read(1).lost]).toEqual([['c', 'd', 'e', 'f'], 1]);
    expect([texts(4), board.read(4).lost]).toEqual([['e', 'f'], 0]);
    expect([texts(6), board.read(6).newest]).toEqual([[], 6]);
    expect(texts(99)).toEqual([]);
  });

  it('are cut between characters', () => {
    const { board } = open();
    write(board, 'é'.repeat(LOG_TEXT_BYTES), `x${'é'.repeat(LOG_TEXT_BYTES)}`);
    const [even, odd] = board.read(0).lines;
    expect(even?.text).toBe('é'.repeat(LOG_TEXT_BYTES / 2));
    expect(odd?.text).toBe(`x${'é'.repeat(LOG_TEXT_BYTES / 2 - 1)}`);
    board.write('info', 'w'.repeat(500), '', 0);
    expect(board.read(2).lines[0]?.source).toBe(`${'w'.repeat(96)}[${process.pid}]`);
  });

  it('that are just being written are waited for, unless their writer is dead', () => {
    const { region, board } = open(100);
    write(board, 'a');
    const numbers = new BigInt64Array(region.part(region.layout.log.at, region.layout.log.bytes));
    Atomics.add(numbers, 0, 1n); // a writer has taken number 2
    write(board, 'c');
    expect(board.read(0)).toMatchObject({ newest: 1, lost: 0, lines: [{ text: 'a' }] });
    write(board, ...Array<string>(63).fill('x'));
    const { newest, lost, lines } = board.read(0);
    expect([newest, lost, lines.length]).toEqual([66, 1, 65]);
  });
});
