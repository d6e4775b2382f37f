/** Answers of HTTP/1, taken off a connection by hand: so that what stands between two answers is seen too. */
import { TcpClient } from './tcp-client.js';

export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly trailers: string;
}

export class HttpClient {
  readonly tcp: TcpClient;

  private constructor(tcp: TcpClient) {
    this.tcp = tcp;
  }

  /** @param from as for `dial` */
  static async connect(port: number, from?: string): Promise<HttpClient> {
    return new HttpClient(await TcpClient.connect(port, '127.0.0.1', from));
  }

  send(text: string): this {
    this.tcp.send(Buffer.from(text, 'latin1'));
    return this;
  }

  /** `GET PATH` and its answer. */
  get(path: string, ...lines: string[]): Promise<Answer> {
    return this.send(request(path, ...lines)).answer();
  }

  /** The next answer. @param isHead it has no body, whatever its fields say */
  async answer(isHead = false): Promise<Answer> {
    const statusLine = await this.#line();
    const [, status = '', reason = ''] = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(statusLine) ?? [];
    if (status === '') throw new Error(`no status line: ${JSON.stringify(statusLine)}`);
    const headers: Record<string, string> = {};
    for (let line = await this.#line(); line !== ''; line = await this.#line()) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
    }
    const code = Number(status);
    const hasNone = isHead || code < 200 || code === 204 || code === 304;
    const { body, trailers } = hasNone ? { body: '', trailers: '' } : await this.#body(headers);
    return { status: code, reason, headers, body, trailers };
  }

  /** Resolves when the server has ended the connection, with what it has sent and nobody has taken. */
  async rest(): Promise<string> {
    await this.tcp.closed;
    return this.tcp.received;
  }

  close(): Promise<void> {
    return this.tcp.close();
  }

  async #body(headers: Readonly<Record<string, string>>): Promise<{ body: string; trailers: string }> {
    const length = headers['content-length'];
    if (length !== undefined) return { body: (await this.tcp.read(Number(length))).toString('latin1'), trailers: '' };
    if (headers['transfer-encoding'] !== 'chunked') return { body: await this.rest(), trailers: '' };
    const pieces: string[] = [];
    for (;;) {
      const size = Number.parseInt(await this.#line(), 16);
      if (size === 0) break;
      pieces.push((await this.tcp.read(size)).toString('latin1'));
      await this.#line();
    }
    const trailers: string[] = [];
    for (let line = await this.#line(); line !== ''; line = await this.#line()) trailers.push(line);
    return { body: pieces.join(''), trailers: trailers.join('\n') };
  }

  async #line(): Promise<string> {
    return (await this.tcp.readLine()).replace(/\r$/, '');
  }
}

export function request(path: string, ...lines: string[]): string {
  return `GET ${path} HTTP/1.1\r\nHost: test\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
}

export function post(path: string, body: string, ...lines: string[]): string {
  const head = ['Host: test', `Content-Length: ${Buffer.byteLength(body, 'latin1')}`, ...lines];
  return `POST ${path} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n${body}`;
}
