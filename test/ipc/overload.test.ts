import { expect, it } from 'vitest';
import { logOverload, type Overload } from '../../src/ipc/overload.js';
import { Log } from '../../src/util/log.js';

const paused: Overload = {
  ...{ state: 'paused', reactor: 1, heldBytes: 1200, limitBytes: 1000, connections: 5, holders: 2 },
  ...{ largest: 77, endsDeaf: false, untold: 0 },
};

function lineOf(overload: Overload): string {
  const lines: string[] = [];
  logOverload(overload, new Log({ role: 'master', level: 'info', write: (line) => lines.push(line) }));
  expect(lines).toHaveLength(1);
  return lines[0] ?? '';
}

it('a pause is a warning that names the option, what is held and for how many, and what to do', () => {
  const line = lineOf(paused);
  expect(line).toContain(' warn ');
  expect(line).toContain('no client is read: the server holds more than maxBufferedBytes; ');
  expect(line).toContain("; writeTimeoutMs ends clients that take nothing, overloadPolicy: 'close' resets those for");
  expect(line).toMatch(/ reactor=1 heldBytes=1200 maxBufferedBytes=1000 connections=5 holders=2 largestFd=77$/);
});

it('a pause has what ends it by itself, and the pauses that were not told', () => {
  expect(lineOf({ ...paused, endsDeaf: true })).toContain('; clients that take nothing end after writeTimeoutMs, ');
  expect(lineOf({ ...paused, holders: 0, untold: 3 })).toMatch(/ connections=5 pausesBefore=3$/);
});

it('its end is a message with how long it took and the most that was held', () => {
  const line = lineOf({ state: 'reads on', reactor: 1, pausedMs: 1499.6, heldBytes: 70, mostBytes: 2000 });
  expect(line).toMatch(/ info .* clients are read on reactor=1 pausedMs=1500 heldBytes=70 mostBytes=2000$/);
});
