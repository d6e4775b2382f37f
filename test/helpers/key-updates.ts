/** A client of TLS 1.3 that changes its keys as often as it is told, which Node's `tls` cannot. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { addressOf, allocateStable, koffi } from '../../src/os/libc.js';
import { loadOpenSsl } from '../../src/os/openssl.js';

const SPACE_BYTES = 65_536;
const NOT_REQUESTED = 0;

export class KeyUpdater {
  readonly #socket: Socket;
  readonly #openssl = loadOpenSsl().openssl;
  readonly #own = bindOwn();
  readonly #input = this.#openssl.BIO_new(this.#openssl.BIO_s_mem());
  readonly #output = this.#openssl.BIO_new(this.#openssl.BIO_s_mem());
  readonly #context = this.#openssl.SSL_CTX_new(this.#openssl.TLS_method());
  readonly #ssl = this.#openssl.SSL_new(this.#context);
  readonly #space = allocateStable(SPACE_BYTES);
  readonly #address = addressOf(this.#space);

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#openssl.SSL_set_bio(this.#ssl, this.#input, this.#output);
    this.#own.SSL_set_connect_state(this.#ssl);
  }

  static async open(port: number): Promise<KeyUpdater> {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    const client = new KeyUpdater(socket);
    await client.#shakeHands();
    return client;
  }

  /** Sends that many KeyUpdates in a row. */
  update(count: number): void {
    for (let i = 0; i < count; i++) {
      this.#own.SSL_key_update(this.#ssl, NOT_REQUESTED);
      this.#openssl.SSL_do_handshake(this.#ssl);
    }
    this.#flush();
  }

  say(text: string): void {
    this.#space.write(text);
    this.#openssl.SSL_write(this.#ssl, this.#address, text.length);
    this.#flush();
  }

  async free(): Promise<void> {
    this.#socket.destroy();
    if (!this.#socket.closed) await once(this.#socket, 'close');
    this.#openssl.SSL_free(this.#ssl);
    this.#openssl.SSL_CTX_free(this.#context);
  }

  async #shakeHands(): Promise<void> {
    while (this.#openssl.SSL_do_handshake(this.#ssl) !== 1) {
      this.#flush();
      const [bytes] = (await once(this.#socket, 'data')) as [Buffer];
      bytes.copy(this.#space);
      this.#openssl.BIO_write(this.#input, this.#address, bytes.length);
    }
    this.#flush();
  }

  #flush(): void {
    for (;;) {
      const n = this.#openssl.BIO_read(this.#output, this.#address, SPACE_BYTES);
      if (n <= 0) return;
      this.#socket.write(Buffer.from(this.#space.subarray(0, n)));
    }
  }
}

function bindOwn() {
  const lib = koffi.load(null);
  return {
    SSL_set_connect_state: lib.func('void SSL_set_connect_state(uintptr_t)') as (ssl: number) => void,
    SSL_key_update: lib.func('int SSL_key_update(uintptr_t, int)') as (ssl: number, type: number) => number,
  };
}
