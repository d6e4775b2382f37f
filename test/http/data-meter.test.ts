import { expect, it } from 'vitest';
import { DataMeter } from '../../src/http/http2/data-meter.js';

function frame(type: number, stream: number, bytes: number): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(bytes, 0, 3);
  head[3] = type;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, Buffer.alloc(bytes, 0xff)]);
}

it('counts DATA by stream and nothing else, however the bytes are cut', () => {
  const bytes = Buffer.concat([
    frame(4, 0, 6),
    frame(1, 3, 20),
    frame(0, 3, 17),
    frame(0, 5, 0),
    frame(6, 0, 8),
    frame(0, 5, 9),
  ]);
  for (let size = 1; size <= bytes.length; size++) {
    const sent: [number, number][] = [];
    const meter = new DataMeter((stream, count) => void sent.push([stream, count]));
    for (let at = 0; at < bytes.length; at += size) meter.passed(bytes.subarray(at, at + size));
    expect(sent).toEqual([
      [3, 17],
      [5, 0],
      [5, 9],
    ]);
    expect(meter.dataBytes).toBe(26);
  }
});

it('knows whether what went out lately were answers', () => {
  const meter = new DataMeter(() => {});
  for (let i = 0; i < 100; i++) meter.passed(frame(0, 1, 16_384));
  expect(meter.isMostlyData).toBe(true);
  for (let i = 0; i < 200_000; i++) meter.passed(frame(6, 0, 8));
  expect(meter.isMostlyData).toBe(false);
});
