/** A WebSocket by hand: what no proper client would send. */
import { DEADLINE_MS } from './deadline.js';
import { TcpClient } from './tcp-client.js';

export interface FrameOptions {
  /** Default: true. */
  readonly fin?: boolean;
  /** RSV1: the payload is compressed. */
  readonly rsv1?: boolean;
  /** Instead of the payload's. */
  readonly length?: bigint;
}

const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

/** A client's frame, masked. */
export function clientFrame(opcode: number, payload: string | Buffer, options: FrameOptions = {}): Buffer {
  const { fin = true, rsv1 = false } = options;
  const data = Buffer.from(payload as string);
  const length = options.length ?? BigInt(data.length);
  const masked = data.map((byte, i) => byte ^ (MASK[i & 3] as number));
  const first = (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode;
  return Buffer.concat([Buffer.from([first]), lengthBytes(length), MASK, masked]);
}

function lengthBytes(length: bigint): Buffer {
  if (length < 126n) return Buffer.from([0x80 | Number(length)]);
  const bytes = Buffer.alloc(length < 65_536n ? 3 : 9);
  bytes[0] = 0x80 | (bytes.length === 3 ? 126 : 127);
  if (bytes.length === 3) bytes.writeUInt16BE(Number(length), 1);
  else bytes.writeBigUInt64BE(length, 1);
  return bytes;
}

export interface ServerFrame {
  readonly opcode: number;
  readonly fin: boolean;
  readonly payload: Buffer;
}

export class RawWebSocket {
  readonly client: TcpClient;

  private constructor(client: TcpClient) {
    this.client = client;
  }

  /** @param extensions what is offered */
  static async open(port: number, path = '/', extensions = ''): Promise<RawWebSocket> {
    const client = await TcpClient.connect(port);
    client.send(
      [
        ...[`GET ${path} HTTP/1.1`, 'Host: a', 'Upgrade: websocket', 'Connection: Upgrade'],
        ...['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='],
        ...(extensions === '' ? [] : [`Sec-WebSocket-Extensions: ${extensions}`]),
        '\r\n',
      ].join('\r\n'),
    );
    const status = await client.readLine();
    if (!status.includes(' 101 ')) throw new Error(`not accepted: ${status}`);
    while ((await client.readLine()) !== '\r');
    return new RawWebSocket(client);
  }

  send(opcode: number, payload: string | Buffer = '', options: FrameOptions = {}): this {
    this.client.send(clientFrame(opcode, payload, options));
    return this;
  }

  /** The next frame. */
  async read(deadlineMs = DEADLINE_MS): Promise<ServerFrame> {
    const [first = 0, second = 0] = await this.client.read(2, deadlineMs);
    let length = second;
    if (second === 126) length = (await this.client.read(2, deadlineMs)).readUInt16BE();
    if (second === 127) length = Number((await this.client.read(8, deadlineMs)).readBigUInt64BE());
    const payload = length === 0 ? Buffer.alloc(0) : await this.client.read(length, deadlineMs);
    return { opcode: first & 15, fin: (first & 128) !== 0, payload };
  }

  /** The next text. */
  async text(deadlineMs = DEADLINE_MS): Promise<string> {
    const { opcode, payload } = await this.read(deadlineMs);
    if (opcode !== 1) throw new Error(`not a text, but opcode ${opcode}`);
    return payload.toString();
  }

  /** Reads up to the server's Close frame. @returns its code; 1006: it has ended without one */
  async closeCode(deadlineMs = DEADLINE_MS): Promise<number> {
    try {
      for (;;) {
        const { opcode, payload } = await this.read(deadlineMs);
        if (opcode === 8) return payload.length === 0 ? 1005 : payload.readUInt16BE();
      }
    } catch (error) {
      if (this.client.end === undefined) throw error;
      return 1006;
    }
  }

  /** Waits until what was sent is with the kernel. */
  async drained(): Promise<void> {
    const { socket } = this.client;
    if (socket.writableLength > 0) await new Promise<void>((resolve) => void socket.write('', () => resolve()));
  }

  async close(): Promise<void> {
    await this.client.close();
  }
}
