import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LineWriter, LogFile, standardError } from '../../src/util/log-file.js';

let folder: string;
let path: string;
let complaints: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-file-'));
  path = join(folder, 'it.log');
  complaints = [];
  vi.spyOn(standardError, 'write').mockImplementation((line) => void complaints.push(line));
});

afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const textOf = (file = path): string => readFileSync(file, 'utf8');

describe('lines', () => {
  it('are appended to what the file has, which is readable for its group only', () => {
    writeFileSync(path, 'before\n');
    chmodSync(path, 0o600);
    new LogFile(path).write('line\n');
    expect(textOf()).toBe('before\nline\n');
    new LogFile(join(folder, 'new')).write('é\n');
    expect(statSync(join(folder, 'new')).mode & 0o777).toBe(0o640);
  });

  it('are not written through a link', () => {
    writeFileSync(join(folder, 'target'), '');
    symlinkSync(join(folder, 'target'), path);
    expect(() => new LogFile(path)).toThrowError(
      expect.objectContaining({ code: 'ELOOP', message: expect.stringContaining('name the file itself') }),
    );
    expect(() => new LogFile(join(folder, 'no', 'folder'))).toThrowError(expect.objectContaining({ code: 'ENOENT' }));
  });

  it('that are lost are told of once, and counted when it goes on', () => {
    const descriptor = openSync(path, 'a');
    const reading = openSync(path, 'r');
    const writer = new LogFile(path);
    writer.moveTo(reading); // cannot be written
    for (let i = 0; i < 3; i++) writer.write('lost\n');
    expect(complaints).toEqual([
      expect.stringMatching(/^\S+ error \[\d+\] lines for the log file .* are lost: EBADF\n$/),
    ]);
    writer.moveTo(descriptor);
    writer.write('on\n');
    writer.write('and on\n');
    expect(textOf()).toBe('(3 lines of the log were lost: EBADF)\non\nand on\n');
    writer.moveTo(reading);
    writer.write('lost\n');
    expect(complaints).toHaveLength(2);
  });

  it('tell of lost ones as the lines of their log look', () => {
    const writer = new LineWriter(openSync(path, 'r+'.replace('r+', 'a')));
    const { descriptor } = writer;
    writer.note = (text) => `note: ${text}\n`;
    writer.moveTo(-1);
    writer.write('lost\n');
    writer.moveTo(descriptor);
    writer.write('on\n');
    expect(textOf()).toMatch(/^note: 1 lines of the log were lost: .*\non\n$/);
  });
});

describe('a log file that was moved away', () => {
  /** @returns the file, and what to call to have it opened again */
  function moved(more: { relay?: number } = {}) {
    const file = new LogFile(path, more);
    let epoch = 0;
    file.epoch = () => epoch;
    const reopened: number[] = [];
    file.reopened = (descriptor) => reopened.push(descriptor);
    return { file, reopened, ask: () => epoch++ };
  }

  it('is written on until somebody asks for a new one', () => {
    const { file, reopened, ask } = moved();
    file.write('one\n');
    renameSync(path, `${path}.1`);
    file.write('two\n');
    expect(existsSync(path)).toBe(false);
    ask();
    file.write('three\n');
    file.write('four\n');
    expect([textOf(`${path}.1`), textOf()]).toEqual(['one\ntwo\n', 'three\nfour\n']);
    expect(reopened).toEqual([file.descriptor]);
  });

  it('is succeeded by one with its rights', () => {
    const { file, ask } = moved();
    chmodSync(path, 0o604);
    renameSync(path, `${path}.1`);
    ask();
    file.refresh();
    expect(statSync(path).mode & 0o777).toBe(0o604);
  });

  it.skipIf(process.geteuid?.() !== 0)('is succeeded by one of the same user, where it is new', () => {
    const { file, ask } = moved();
    chownSync(path, 65_534, 65_533);
    renameSync(path, `${path}.1`);
    ask();
    file.refresh();
    expect([statSync(path).uid, statSync(path).gid]).toEqual([65_534, 65_533]);
    renameSync(path, `${path}.2`);
    writeFileSync(path, 'of another\n'); // it is there already: whose it is, is not for us to change
    ask();
    file.refresh();
    expect([statSync(path).uid, statSync(path).gid]).toEqual([0, statSync(folder).gid]);
  });

  it('goes on in the old one where the new one cannot be opened, says so once, and tries again a second later', () => {
    const { file, reopened, ask } = moved();
    let now = 1000;
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    renameSync(path, `${path}.1`);
    mkdirSync(path);
    ask();
    file.write('one\n');
    now += 999;
    rmSync(path, { recursive: true });
    file.write('two\n');
    expect(existsSync(path)).toBe(false);
    mkdirSync(path);
    now += 1;
    file.write('three\n');
    rmSync(path, { recursive: true });
    now += 1000;
    file.write('four\n');
    file.write('five\n');
    expect(textOf(`${path}.1`)).toBe('one\ntwo\nthree\n');
    expect(textOf()).toBe('(the log file was opened again after 2 failures)\nfour\nfive\n');
    expect(complaints).toEqual([
      expect.stringMatching(/cannot be opened again: EISDIR; lines go on in the old one\n$/),
    ]);
    expect(reopened).toHaveLength(1);
  });

  it('is tried at once for who has to know, who gets the cause', () => {
    const { file, ask } = moved();
    renameSync(path, `${path}.1`);
    mkdirSync(path);
    ask();
    file.refresh();
    expect(() => file.reopen()).toThrow(expect.objectContaining({ code: 'EISDIR' }));
    rmSync(path, { recursive: true });
    file.reopen();
    expect(textOf()).toBe('(the log file was opened again after 2 failures)\n');
  });

  it('is left to the parent process where this one may not open it', () => {
    const relay = openSync(join(folder, 'relay'), 'a');
    const { file, reopened, ask } = moved({ relay });
    const before = file.descriptor;
    renameSync(path, `${path}.1`);
    mkdirSync(path);
    ask();
    file.write('one\n');
    ask();
    file.write('two\n');
    expect([textOf(join(folder, 'relay')), complaints, reopened]).toEqual(['one\ntwo\n', [], [relay]]);
    expect(() => closeSync(before)).toThrow(); // it is closed
    rmSync(path, { recursive: true });
    ask();
    file.write('three\n');
    expect([textOf(), textOf(join(folder, 'relay'))]).toEqual(['three\n', 'one\ntwo\n']);
    closeSync(relay); // the parent's is left open
  });
});
