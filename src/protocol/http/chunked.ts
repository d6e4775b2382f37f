export interface ChunkedLimits {
  readonly bodyBytes: number;
  readonly extensionBytes: number;
  readonly trailerBytes: number;
  readonly trailerCount: number;
}
export class ChunkedDecoder {
  isDone = false;
  trailers = '';
  bodyBytes = 0;
  why = '';
  constructor(_l: ChunkedLimits) {}
  decode(_b: Buffer, _f: number, _t: number, _p: (s: number, e: number) => void): number {
    return -501;
  }
}
