import type { Exchange } from './exchange.js';
export class HttpRequest {
  readonly e: Exchange;
  constructor(e: Exchange, _p: unknown) {
    this.e = e;
  }
  get url() {
    return this.e.target;
  }
  get method() {
    return this.e.method;
  }
  get headers() {
    return this.e.rawHeaders;
  }
  async body() {
    return this.e.body.whole ?? Buffer.alloc(0);
  }
}
