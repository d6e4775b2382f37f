import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { BootOutput, onceReady, returnStandardError } from '../../src/ipc/boot-output.js';

const turn = () => new Promise(setImmediate);

describe('what a child writes until it is ready', () => {
  it('is passed on at once, and kept without the space around it', async () => {
    const stream = new PassThrough();
    const passed: string[] = [];
    const output = new BootOutput(stream, (text) => passed.push(text));
    stream.write('\nError: first\n');
    await turn();
    stream.write('second\n\n');
    await turn();
    expect(passed).toEqual(['\nError: first\n', 'second\n\n']);
    expect(output.text).toBe('Error: first\nsecond');
  });

  it('is text also where a character comes in two parts', async () => {
    const stream = new PassThrough();
    const output = new BootOutput(stream);
    for (const byte of Buffer.from('é€😀')) {
      stream.write(Buffer.of(byte));
      await turn();
    }
    expect(output.text).toBe('é€😀');
  });

  it('is kept whole up to 4096 characters', async () => {
    const stream = new PassThrough();
    const output = new BootOutput(stream);
    const text = `${'a'.repeat(95)}\n${'b'.repeat(4000)}`;
    stream.write(text);
    await turn();
    expect(output.text).toBe(text);
  });

  it('is cut at a line above that, and says so', async () => {
    const stream = new PassThrough();
    const output = new BootOutput(stream);
    const lines = Array.from({ length: 1000 }, (_, index) => `line ${String(index).padStart(4, '0')}`);
    for (const line of lines) stream.write(`${line}\n`);
    await turn();
    const kept = output.text.slice(1).split('\n');
    expect(output.text[0]).toBe('…');
    expect(kept).toEqual(lines.slice(-kept.length));
    expect(output.text.length).toBeLessThanOrEqual(4097);
    expect(output.text.length).toBeGreaterThan(4097 - 11);
  });

  it('ends with its stream, at once where there is none', async () => {
    let ended = 0;
    new BootOutput(undefined).whenEnded(() => ended++);
    expect(ended).toBe(1);
    const stream = new PassThrough();
    const output = new BootOutput(stream);
    output.whenEnded(() => ended++);
    await turn();
    expect(ended).toBe(1);
    stream.destroy(new Error('gone'));
    await turn();
    expect(ended).toBe(2);
    output.whenEnded(() => ended++);
    expect([ended, output.text]).toEqual([3, '']);
  });
});

it('who waits for a process to be ready is called back once, and at once from then on', async () => {
  const called: string[] = [];
  onceReady(() => called.push('before'));
  expect(called).toEqual([]);
  await returnStandardError();
  expect(called).toEqual(['before']);
  onceReady(() => called.push('after'));
  await returnStandardError();
  expect(called).toEqual(['before', 'after']);
});
