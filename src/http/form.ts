/** Forms: `application/x-www-form-urlencoded` and `multipart/form-data`, within limits. */
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import type { Readable } from 'node:stream';
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import { describe, ServerError } from '../errors/index.js';
import { deferred } from '../util/index.js';
import { mediaTypeOf } from './body.js';
import { addValue, eachPair, emptyValues, type Values } from './query.js';
import { type UploadedFile, UploadFolder } from './uploads.js';

/** Limits of one form, where they differ from those of the server. Beyond one: ERR_HTTP_FORM_LIMIT. */
export interface FormOptions {
  /** How many fields that are not files. Default: 1000. */
  readonly fields?: number;
  /** Bytes of one field. Default: 1 MiB. */
  readonly fieldSize?: number;
  /** Bytes of all fields together, with their names: these are held in memory. Default: 2 MiB. */
  readonly fieldsSize?: number;
  /** Bytes of a name. Default: 200. */
  readonly nameSize?: number;
  /** How many files. Default: 20. */
  readonly files?: number;
  /** Bytes of one file. Default: 64 MiB. */
  readonly fileSize?: number;
  /** Where temporary folders are made. Default: `os.tmpdir()`. In Swoole: upload_tmp_dir. */
  readonly folder?: string;
}

export type FormLimits = Required<FormOptions>;

/** A form that was read, urlencoded or multipart. */
export interface Form {
  /** Without a prototype; a name that comes again has an array. */
  readonly fields: Values;
  /** In the order they came. */
  readonly files: UploadedFile[];
}

/** The source of a form. */
export interface FormSource {
  readonly contentType: string | undefined;
  readonly pieces: () => AsyncIterable<Buffer>;
  /** The client goes away, or ends its side. */
  readonly onGone: (listener: () => void) => void;
  /** An answer does not reach it any more. */
  readonly isGone: () => boolean;
  /** The answer has ended. */
  readonly onEnd: (listener: () => void) => void;
}

const MIB = 1024 * 1024;

export const defaultFormLimits: FormLimits = {
  fields: 1000,
  fieldSize: MIB,
  fieldsSize: 2 * MIB,
  nameSize: 200,
  files: 20,
  fileSize: 64 * MIB,
  folder: tmpdir(),
};

/** Of the head of one part: name and type are far shorter. */
const PART_HEADER_SIZE = 8 * 1024;
const PART_HEADERS = 32;
/** Files of a client that left while its form was being read. */
const KEPT_MS = 10_000;
/** A client that has ended its side may still get its answer; no event shows when it is gone. */
const LOOK_MS = 1000;
/** RFC 2046, 5.1.1. */
const BOUNDARY =
  /;[ \t]*boundary=(?:"([0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?])"|([^\s;,"]{1,70})(?=[ \t]*(?:;|$)))/i;

/** @throws ServerError ERR_HTTP_FORM_TYPE, ERR_HTTP_FORM_BROKEN, ERR_HTTP_FORM_LIMIT, ERR_HTTP_FORM_FILE */
export async function readForm(source: FormSource, limits: FormLimits): Promise<Form> {
  const { contentType } = source;
  const type = mediaTypeOf(contentType);
  if (type === 'application/x-www-form-urlencoded') return readUrlencoded(source, limits);
  if (type !== 'multipart/form-data' || contentType === undefined) {
    throw new ServerError('ERR_HTTP_FORM_TYPE', { status: 415, received: type.slice(0, 80) });
  }
  if (!BOUNDARY.test(contentType)) throw broken('its content type has no boundary');
  return new MultipartReading(source, limits).read(contentType);
}

async function readUrlencoded(source: FormSource, limits: FormLimits): Promise<Form> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of source.pieces()) {
    size += piece.length;
    if (size > limits.fieldsSize) throw tooMuch('fieldsSize', limits);
    pieces.push(piece);
  }
  const collector = new FieldCollector(limits);
  eachPair(Buffer.concat(pieces).toString(), (name, value) => collector.add(name, value));
  return { fields: collector.fields, files: [] };
}

/** Fields as they come, checked against the limits. */
class FieldCollector {
  readonly fields: Values = emptyValues();
  readonly #limits: FormLimits;
  #count = 0;
  #size = 0;

  constructor(limits: FormLimits) {
    this.#limits = limits;
  }

  /** @throws ServerError ERR_HTTP_FORM_LIMIT */
  add(name: string, value: string): void {
    const nameSize = Buffer.byteLength(name);
    const size = Buffer.byteLength(value);
    this.#count += 1;
    this.#size += nameSize + size;
    if (this.#count > this.#limits.fields) throw tooMuch('fields', this.#limits);
    if (nameSize > this.#limits.nameSize) throw tooMuch('nameSize', this.#limits);
    if (size > this.#limits.fieldSize) throw tooMuch('fieldSize', this.#limits);
    if (this.#size > this.#limits.fieldsSize) throw tooMuch('fieldsSize', this.#limits);
    addValue(this.fields, name, value);
  }
}

/** One multipart body on its way to fields in memory and files on disk. The first failure ends it. */
class MultipartReading {
  readonly #source: FormSource;
  readonly #limits: FormLimits;
  readonly #folder: UploadFolder;
  readonly #collector: FieldCollector;
  readonly #saves: Promise<UploadedFile>[] = [];
  readonly #failed = deferred<never>();
  #hasFailed = false;
  #isRead = false;

  constructor(source: FormSource, limits: FormLimits) {
    this.#source = source;
    this.#limits = limits;
    this.#folder = new UploadFolder(limits.folder);
    this.#collector = new FieldCollector(limits);
    this.#failed.promise.catch(() => undefined);
  }

  async read(contentType: string): Promise<Form> {
    this.#source.onGone(() => this.#clientLeft());
    this.#source.onEnd(() => this.#fail(new ServerError('ERR_HTTP_ANSWER_ENDED', { method: 'form()' })));
    this.#source.onEnd(() => void this.#folder.remove());
    const parser = this.#parser(contentType);
    try {
      await Promise.race([this.#failed.promise, this.#feed(parser)]);
      const files = await Promise.race([this.#failed.promise, Promise.all(this.#saves)]);
      this.#isRead = true;
      // An empty file input comes as a file without name and content.
      return {
        fields: this.#collector.fields,
        files: files.filter(({ filename, size }) => filename !== '' || size > 0),
      };
    } catch (error) {
      this.#hasFailed = true;
      await this.#folder.remove();
      throw error;
    }
  }

  /**
   * A form that had come whole is read to its end all the same: the body itself reports when it was cut. The files
   * go when the client does; those of a form that was still being read stay for a moment, or the handler would
   * never see them.
   */
  #clientLeft(): void {
    if (this.#folder.isRemoved) return;
    const isGone = this.#source.isGone();
    if (isGone && this.#isRead) return void this.#folder.remove();
    setTimeout(() => this.#clientLeft(), isGone ? KEPT_MS : LOOK_MS).unref();
  }

  #parser(contentType: string): BusboyInstance {
    const { fields, files, fieldSize, fileSize } = this.#limits;
    const parser = new Busboy({
      headers: { 'content-type': contentType },
      isPartAFile: (_name, _type, filename) => filename !== undefined,
      limits: { fields, files, fieldSize, fileSize, headerPairs: PART_HEADERS, headerSize: PART_HEADER_SIZE },
    });
    parser.on('error', (cause) => this.#fail(broken(cause instanceof Error ? cause.message : describe(cause), cause)));
    parser.on('fieldsLimit', () => this.#fail(tooMuch('fields', this.#limits)));
    parser.on('filesLimit', () => this.#fail(tooMuch('files', this.#limits)));
    parser.on('field', (name, value, _isNameCut, isCut) => this.#takeField(name, value, isCut));
    parser.on('file', (name, stream, filename, _encoding, type) => this.#takeFile(name, stream, filename, type));
    return parser;
  }

  /** At the pace of the parser, which runs at the pace of the disk. */
  async #feed(parser: BusboyInstance): Promise<void> {
    const finished = once(parser, 'finish');
    finished.catch(() => undefined);
    for await (const piece of this.#source.pieces()) {
      if (this.#hasFailed) return;
      if (!parser.write(piece)) await Promise.race([once(parser, 'drain'), this.#failed.promise]);
    }
    parser.end();
    await finished;
  }

  #takeField(name: string | undefined, value: string, isCut: boolean): void {
    if (this.#hasFailed) return;
    try {
      if (name === undefined) throw broken('a part has no name');
      if (isCut) throw tooMuch('fieldSize', this.#limits);
      this.#collector.add(name, value);
    } catch (error) {
      this.#fail(error);
    }
  }

  #takeFile(name: string | undefined, stream: Readable, filename: string, type: string): void {
    stream.on('error', () => undefined); // the parser reports the same error
    const why = this.#wrongFile(name);
    if (why !== undefined) this.#fail(why);
    if (this.#hasFailed || name === undefined) {
      stream.resume();
      return;
    }
    stream.on('limit', () => this.#fail(tooMuch('fileSize', this.#limits)));
    const save = this.#folder.save(stream, { name, filename, type });
    save.catch((error: unknown) => this.#fail(error));
    this.#saves.push(save);
  }

  #wrongFile(name: string | undefined): ServerError | undefined {
    if (name === undefined) return broken('a part has no name');
    return Buffer.byteLength(name) > this.#limits.nameSize ? tooMuch('nameSize', this.#limits) : undefined;
  }

  #fail(error: unknown): void {
    this.#hasFailed = true;
    this.#failed.reject(error);
  }
}

function broken(why: string, cause?: unknown): ServerError {
  return new ServerError('ERR_HTTP_FORM_BROKEN', { status: 400, why }, cause === undefined ? {} : { cause });
}

function tooMuch(limit: Exclude<keyof FormLimits, 'folder'>, limits: FormLimits): ServerError {
  return new ServerError('ERR_HTTP_FORM_LIMIT', { status: 413, limit, value: limits[limit] });
}
