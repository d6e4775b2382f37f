import { methods } from './methods.js';
export interface HeadLimits {
  readonly lineBytes: number;
  readonly headerBytes: number;
  readonly headerCount: number;
}
export class RequestHead {
  method = 0;
  targetStart = 0;
  targetEnd = 0;
  linesStart = 0;
  minor: 0 | 1 = 1;
  contentLength = -1;
  isChunked = false;
  keepAlive = true;
  expectsContinue = false;
  isUpgrade = false;
  why = '';
  constructor(_l: HeadLimits) {}
  parse(bytes: Buffer, from: number, to: number): number {
    let i = from;
    for (;;) {
      i = bytes.indexOf(13, i);
      if (i < 0 || i + 3 >= to) return 0;
      if (bytes[i + 2] === 13) break;
      i++;
    }
    const end = i + 4;
    let j = from;
    while (bytes[j] !== 32) j++;
    this.method = (methods as readonly string[]).indexOf(bytes.toString('latin1', from, j));
    this.targetStart = j + 1 - from;
    j++;
    while (bytes[j] !== 32) j++;
    this.targetEnd = j - from;
    const m = /content-length: (\d+)/i.exec(
      end - from > 200 || this.method > 1 ? bytes.toString('latin1', from, end) : '',
    );
    this.contentLength = m ? Number(m[1]) : -1;
    return end - from;
  }
}
