import type { Exchange } from './exchange.js';
export class HttpResponse {
  readonly e: Exchange;
  statusCode = 200;
  f: string[] = [];
  constructor(e: Exchange, _r: unknown) {
    this.e = e;
  }
  setHeader(n: string, v: string) {
    this.f.push(n, v);
  }
  end(d: string) {
    this.e.respond(this.statusCode, '', this.f, d);
  }
  fail(s: number, m: string) {
    this.e.respond(s, '', [], m);
  }
}
