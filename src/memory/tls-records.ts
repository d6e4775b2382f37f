/** What the handshake of each encrypted connection has agreed upon: written by its reactor, readable from every process. */
import { TLS_RECORD_BYTES } from './layout.js';
import type { Region } from './region.js';

/** `getClientInfo(fd).tls`. Texts are empty where there is nothing to tell. */
export interface TlsInfo {
  /** 'TLSv1.3' */
  version: string;
  /** Its IANA name, such as 'TLS_AES_256_GCM_SHA384'. */
  cipher: string;
  /** The protocol that was chosen (ALPN). */
  alpn: string;
  /** The name the client asked for (SNI). */
  serverName: string;
  /** True when the client has shown a certificate that `ca` has signed. */
  authorized: boolean;
  /** The common name in the client's certificate. */
  subject: string;
  /** Of the client's certificate: 'AB:CD:…' */
  fingerprint256: string;
}

const LENGTH_BYTES = 4;
const LONGEST_TEXT = 64;

export class TlsRecords {
  readonly #region: Region;

  constructor(region: Region) {
    this.#region = region;
  }

  write(slot: number, info: TlsInfo): void {
    const { alpn, serverName, subject } = info;
    const cut = (text: string): string => text.slice(0, LONGEST_TEXT);
    const short = { ...info, alpn: cut(alpn), serverName: serverName.slice(0, 128), subject: cut(subject) };
    const at = this.#at(slot);
    const { bytes, int32 } = this.#region;
    const length = bytes.write(JSON.stringify(short), at + LENGTH_BYTES, TLS_RECORD_BYTES - LENGTH_BYTES);
    int32[at / 4] = length;
  }

  read(slot: number): TlsInfo | undefined {
    const at = this.#at(slot);
    const { bytes, int32 } = this.#region;
    try {
      return JSON.parse(bytes.toString('utf8', at + LENGTH_BYTES, at + LENGTH_BYTES + (int32[at / 4] ?? 0))) as TlsInfo;
    } catch {
      return undefined; // the slot is being used again at this moment
    }
  }

  #at(slot: number): number {
    return this.#region.layout.tlsAt + slot * TLS_RECORD_BYTES;
  }
}
