/** The handshake results of encrypted connections: written by their reactors, readable from every process. */
import { TLS_RECORD_BYTES } from './layout.js';
import type { Region } from './region.js';

/** `getClientInfo(fd).tls`. Texts are empty where unknown. */
export interface TlsInfo {
  /** 'TLSv1.3' */
  version: string;
  /** Its IANA name, such as 'TLS_AES_256_GCM_SHA384'. */
  cipher: string;
  /** The chosen protocol (ALPN). */
  alpn: string;
  /** The name the client asked for (SNI). */
  serverName: string;
  /** True when the client has shown a certificate signed by `ca`. */
  authorized: boolean;
  /** The common name in the client's certificate. */
  subject: string;
  /** Of the client's certificate: 'AB:CD:…' */
  fingerprint256: string;
  /**
   * The client's certificate as PEM (Swoole: ssl_client_cert). Empty if the client has shown none, or if it exceeds the room
   * in its record: 3,300 bytes of DER, fewer from some 250,000 `maxConnections` on.
   */
  certificate: string;
}

const LENGTH_BYTES = 4;
const LONGEST_TEXT = 64;

export class TlsRecords {
  readonly #region: Region;

  constructor(region: Region) {
    this.#region = region;
  }

  write(slot: number, info: TlsInfo): void {
    const { alpn, serverName, subject, certificate, ...rest } = info;
    const cut = (text: string): string => text.slice(0, LONGEST_TEXT);
    const short = { ...rest, alpn: cut(alpn), serverName: serverName.slice(0, 128), subject: cut(subject) };
    const at = this.#at(slot);
    const { bytes, int32 } = this.#region;
    const length = bytes.write(JSON.stringify(short), at + LENGTH_BYTES, TLS_RECORD_BYTES - LENGTH_BYTES);
    int32[at / 4] = length;
    this.#writeCertificate(slot, certificate);
  }

  read(slot: number): TlsInfo | undefined {
    const at = this.#at(slot);
    const { bytes, int32 } = this.#region;
    try {
      const text = bytes.toString('utf8', at + LENGTH_BYTES, at + LENGTH_BYTES + (int32[at / 4] ?? 0));
      return { ...(JSON.parse(text) as Omit<TlsInfo, 'certificate'>), certificate: this.#readCertificate(slot) };
    } catch {
      return undefined; // the slot is being reused at this moment
    }
  }

  #writeCertificate(slot: number, certificate: string): void {
    const room = this.#recordBytes - TLS_RECORD_BYTES - LENGTH_BYTES;
    if (room < 0) return;
    const at = this.#at(slot) + TLS_RECORD_BYTES;
    const der = derOf(certificate);
    const length = der.length <= room ? der.copy(this.#region.bytes, at + LENGTH_BYTES) : 0;
    this.#region.int32[at / 4] = length;
  }

  #readCertificate(slot: number): string {
    if (this.#recordBytes - TLS_RECORD_BYTES - LENGTH_BYTES < 0) return '';
    const at = this.#at(slot) + TLS_RECORD_BYTES;
    const length = this.#region.int32[at / 4] ?? 0;
    return pemOf(this.#region.bytes.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + length));
  }

  get #recordBytes(): number {
    return this.#region.shape.tlsRecordBytes;
  }

  #at(slot: number): number {
    return this.#region.layout.tlsAt + slot * this.#recordBytes;
  }
}

const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';

/** RFC 7468. @returns '' for no bytes */
export function pemOf(der: Uint8Array): string {
  if (der.length === 0) return '';
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `${BEGIN}\n${lines.join('\n')}\n${END}\n`;
}

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replace(BEGIN, '').replace(END, ''), 'base64');
}
