import { describe, expect, it } from 'vitest';
import { LIMIT_LINE_BYTES, LineCutter } from '../../src/util/line-cutter.js';

function cut(pieces: readonly Buffer[]): string[] {
  const lines: string[] = [];
  const cutter = new LineCutter((line) => lines.push(line));
  for (const piece of pieces) cutter.write(piece);
  cutter.end();
  return lines;
}

describe('a line cutter', () => {
  it('gives the same lines wherever the bytes are cut', () => {
    const bytes = Buffer.from('grün\n\nzwei €\r\n🙂 three');
    for (let at = 0; at <= bytes.length; at++)
      expect(cut([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(['grün', '', 'zwei €', '🙂 three']);
    expect(cut([...bytes].map((byte) => Buffer.from([byte])))).toEqual(['grün', '', 'zwei €', '🙂 three']);
  });

  it('gives a line that is too long in parts, and cuts no character', () => {
    for (const letter of ['x', 'ü', '€', '🙂']) {
      const line = `a${letter.repeat(LIMIT_LINE_BYTES)}`;
      const parts = cut([Buffer.from(line)]);
      expect(parts.join('')).toBe(line);
      for (const part of parts) expect(Buffer.byteLength(part)).toBeLessThanOrEqual(LIMIT_LINE_BYTES);
    }
    expect(cut([Buffer.alloc(3 * LIMIT_LINE_BYTES, 0x80)]).join('')).toBe('\ufffd'.repeat(3 * LIMIT_LINE_BYTES));
  });

  it('says nothing at the end where nothing is left', () => {
    expect(cut([])).toEqual([]);
    expect(cut([Buffer.from('a\n')])).toEqual(['a']);
  });
});
