import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defaultFormLimits, type FormOptions } from '../../src/http/form.js';
import { HttpRequest } from '../../src/http/request.js';
import { HttpResponse } from '../../src/http/response.js';
import { FakeBody, FakeExchange } from '../helpers/fake-exchange.js';

const URLENCODED = 'application/x-www-form-urlencoded';
const MULTIPART = 'multipart/form-data; boundary=XX';

const usual = tmpdir();
let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(usual, 'tswoole-test-'));
  process.env['TMPDIR'] = folder;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function formOf(
  type: string | undefined,
  body: string | Buffer | readonly (string | Buffer)[],
  limits: FormOptions = {},
) {
  const headers = type === undefined ? [] : ['Content-Type', type];
  return held(new FakeExchange({ method: 'POST', headers, body }), limits);
}

function held(exchange: FakeExchange, limits: FormOptions = {}) {
  const form = { ...defaultFormLimits, folder, ...limits };
  const request = new HttpRequest(exchange, () => ({ remoteAddress: '', remotePort: 0 }), { form });
  return { exchange, request, response: new HttpResponse(exchange, request, { compression: null }) };
}

/** One whose pieces come when the test says so. */
function slowForm(limits: FormOptions = {}) {
  const exchange = new FakeExchange({ method: 'POST', headers: ['content-type', MULTIPART] });
  const body = new FakeBody(null);
  return { ...held(Object.assign(exchange, { body }), limits), body };
}

function part(head: string, content: string): string {
  return `--XX\r\nContent-Disposition: form-data; ${head}\r\n\r\n${content}\r\n`;
}
const END = '--XX--\r\n';

const failure = (code: string, detail: object = {}) => ({ code, detail: expect.objectContaining(detail) });
const isEmpty = () => expect.poll(() => readdirSync(folder), { interval: 2 }).toEqual([]);

describe('an urlencoded form', () => {
  test('has its fields as a query has', async () => {
    const { request } = formOf(`${URLENCODED}; charset=utf-8`, 'a=1&b=x+y&a=%C3%A4&__proto__=z');
    const { fields, files } = await request.form();
    expect(Object.getPrototypeOf(fields)).toBe(null);
    expect([fields['a'], fields['b'], Reflect.get(fields, '__proto__'), files]).toEqual([['1', 'ä'], 'x y', 'z', []]);
  });

  test('may come in pieces, and be read again', async () => {
    const { request } = formOf(URLENCODED, ['a=%C', '3%A4&b', '=1']);
    const form = await request.form();
    expect({ ...form.fields }).toEqual({ a: 'ä', b: '1' });
    expect(await request.form()).toBe(form);
  });

  test('may be read after the body was', async () => {
    const { request } = formOf(URLENCODED, ['a=1']);
    expect(await request.text()).toBe('a=1');
    expect({ ...(await request.form()).fields }).toEqual({ a: '1' });
  });

  test.each<[string, FormOptions, string]>([
    ['a=1&b=2', { fields: 1 }, 'fields'],
    ['abc=1', { nameSize: 2 }, 'nameSize'],
    ['a=%C3%A4%C3%A4', { fieldSize: 3 }, 'fieldSize'],
    ['a=123&b=456', { fieldsSize: 7 }, 'fieldsSize'],
  ])('%s above the limit %j is refused', async (body, limits, limit) => {
    await expect(formOf(URLENCODED, body, limits).request.form()).rejects.toMatchObject(
      failure('ERR_HTTP_FORM_LIMIT', { status: 413, limit, value: Object.values(limits)[0] }),
    );
  });

  test('that is too long is not read to its end', async () => {
    const { request, exchange } = formOf(URLENCODED, ['a=12345', '67890', 'more'], { fieldsSize: 10 });
    await expect(request.form()).rejects.toMatchObject(failure('ERR_HTTP_FORM_LIMIT', { limit: 'fieldsSize' }));
    expect(exchange.body.asked).toBe(2);
  });

  test('limits of one call come before those of the server', async () => {
    const { request } = formOf(URLENCODED, 'a=1&b=2', { fields: 1 });
    expect({ ...(await request.form({ fields: 2 })).fields }).toEqual({ a: '1', b: '2' });
  });
});

describe('no form', () => {
  test.each([undefined, 'text/plain', 'application/json', 'multipart/mixed; boundary=x', ''])(
    'is of type %s',
    async (type) => {
      await expect(formOf(type, 'a=1').request.form()).rejects.toMatchObject(
        failure('ERR_HTTP_FORM_TYPE', { status: 415 }),
      );
    },
  );

  test.each([
    '',
    '; boundary=',
    '; boundary=""',
    `; boundary=${'x'.repeat(71)}`,
    '; boundary="a\u00e4"',
    '; boundary=a b',
  ])('has the boundary "%s"', async (boundary) => {
    await expect(formOf(`multipart/form-data${boundary}`, END).request.form()).rejects.toMatchObject(
      failure('ERR_HTTP_FORM_BROKEN', { status: 400 }),
    );
  });
});

describe('a multipart form', () => {
  const BODY = [
    ...[part('name="a"', '1'), part('name="b"', 'x\r\ny'), part('name="a"', 'ä'), part('name="empty"', '')],
    '--XX\r\nContent-Disposition: form-data; name="file"; filename="../../etc/pass\u00fcwd.txt"\r\nContent-Type: Text/Plain\r\n\r\nfile\r\ncontent\r\n',
    '--XX\r\nContent-Disposition: form-data; name="none"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n\r\n',
    '--XX\r\nContent-Disposition: form-data; name="bytes"\r\nContent-Type: application/octet-stream\r\n\r\nno file\r\n',
    part('name="second"; filename="b.bin"', ''),
    END,
  ].join('');

  const check = async (request: HttpRequest) => {
    const { fields, files } = await request.form();
    expect({ ...fields }).toEqual({ a: ['1', 'ä'], b: 'x\r\ny', empty: '', bytes: 'no file' });
    expect(files.map(({ name, filename, type, size }) => ({ name, filename, type, size }))).toEqual([
      { name: 'file', filename: 'passüwd.txt', type: 'text/plain', size: 13 },
      { name: 'second', filename: 'b.bin', type: 'text/plain', size: 0 },
    ]);
    expect(await readFile(files[0]!.path, 'utf8')).toBe('file\r\ncontent');
    return files;
  };

  test('has fields, and files on disk for its user alone', async () => {
    const { request, response } = formOf(MULTIPART, BODY);
    const [file] = await check(request);
    expect((await stat(file!.path)).mode & 0o777).toBe(0o600);
    expect(file!.path.startsWith(folder)).toBe(true);
    expect((await stat(join(file!.path, '..'))).mode & 0o777).toBe(0o700);
    response.end();
    await isEmpty();
  });

  test('is the same in pieces of any length', async () => {
    const bytes = Buffer.from(BODY);
    for (const step of [1, 2, 3, 7, 50]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) =>
        bytes.subarray(i * step, (i + 1) * step),
      );
      const { request, response } = formOf('Multipart/Form-Data; charset=x; Boundary="XX"', pieces);
      await check(request);
      response.end();
    }
    await isEmpty();
  });

  test('may have nothing in it', async () => {
    const { fields, files } = await formOf(MULTIPART, END).request.form();
    expect([{ ...fields }, files]).toEqual([{}, []]);
  });

  test.each([
    ['is empty', ''],
    ['has no boundary', 'hello'],
    ['ends in the middle of a head', '--XX\r\nContent-Disposition: form-da'],
    [
      'ends in the middle of a field',
      `${part('name="a"', '1')}--XX\r\nContent-Disposition: form-data; name="b"\r\n\r\nxyz`,
    ],
    ['ends in the middle of a file', '--XX\r\nContent-Disposition: form-data; name="b"; filename="c"\r\n\r\nxyz'],
    ['ends before its last boundary', part('name="a"; filename="b"', '1')],
    ['has a field without a name', part('x="a"', '1') + END],
    ['has a file without a name', part('filename="a"', '1') + END],
  ])('that %s is refused, and nothing is left of it', async (_title, body) => {
    for (const pieces of [body, [...body]]) {
      const { request } = formOf(MULTIPART, pieces);
      await expect(request.form()).rejects.toMatchObject(failure('ERR_HTTP_FORM_BROKEN', { status: 400 }));
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each<[string, string, FormOptions, string]>([
    ['fields', part('name="a"', '1') + part('name="b"', '2'), { fields: 1 }, 'fields'],
    ['files', part('name="a"; filename="x"', '1') + part('name="b"; filename="y"', '2'), { files: 1 }, 'files'],
    ['bytes of a field', part('name="a"', '1234'), { fieldSize: 3 }, 'fieldSize'],
    ['bytes of all fields', part('name="a"', '1234') + part('name="b"', '1234'), { fieldsSize: 9 }, 'fieldsSize'],
    ['bytes of a file', part('name="a"; filename="x"', '1234'), { fileSize: 3 }, 'fileSize'],
    ['bytes of a large file', part('name="a"; filename="x"', 'x'.repeat(200_000)), { fileSize: 100_000 }, 'fileSize'],
    ['bytes of a name', part('name="abcd"', '1'), { nameSize: 3 }, 'nameSize'],
    ['bytes of the name of a file', part('name="abcd"; filename="x"', '1'), { nameSize: 3 }, 'nameSize'],
  ])('with too many %s is refused, and nothing is left of it', async (_title, parts, limits, limit) => {
    for (const body of [parts + END, [parts, END], (parts + END).match(/[\s\S]{1,1000}/g)!]) {
      const { request } = formOf(MULTIPART, body, limits);
      await expect(request.form()).rejects.toMatchObject(failure('ERR_HTTP_FORM_LIMIT', { status: 413, limit }));
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  test('at its limits is taken', async () => {
    const { request } = formOf(MULTIPART, part('name="abc"', '123') + part('name="f"; filename="x"', '1234') + END, {
      ...{ fields: 1, files: 1, fieldSize: 3, fieldsSize: 6, fileSize: 4, nameSize: 3 },
    });
    const { fields, files } = await request.form();
    expect([{ ...fields }, files[0]?.size]).toEqual([{ abc: '123' }, 4]);
  });

  test('with a head of a part without end is refused', async () => {
    const head = `--XX\r\n${'x'.repeat(20_000)}`;
    await expect(formOf(MULTIPART, [head, head, END]).request.form()).rejects.toMatchObject(
      failure('ERR_HTTP_FORM_BROKEN', { status: 400 }),
    );
  });

  test('of a folder that is not there says so', async () => {
    const { request } = formOf(MULTIPART, part('name="a"; filename="b"', '1') + END, {
      folder: join(folder, 'missing'),
    });
    await expect(request.form()).rejects.toMatchObject(failure('ERR_HTTP_FORM_FILE', { why: 'ENOENT' }));
  });

  test('of 8 MiB is read only as fast as the disk takes it', async () => {
    const { request, body, response } = slowForm();
    const form = request.form();
    body.push('--XX\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n');
    const piece = Buffer.alloc(64 * 1024, 'x');
    for (let i = 0; i < 128; i += 1) body.push(piece);
    body.push(`\r\n${END}`);
    body.push(null);
    let most = 0;
    let taken = 0;
    const next = body.next.bind(body);
    body.next = () => {
      taken += 1;
      const made = readdirSync(folder).length;
      if (made === 0) most = Math.max(most, taken);
      return next();
    };
    const { files } = await form;
    expect(files[0]?.size).toBe(128 * piece.length);
    expect(most).toBeLessThan(10); // what fits into the buffers before there is a file
    response.end();
    await isEmpty();
  });
});

describe('when the client goes in the middle of a form', () => {
  test.each(['in a file', 'in a field', 'before anything'])(
    '%s, the form is an error and nothing is left',
    async (where) => {
      const { request, exchange, body } = slowForm();
      const form = request.form();
      if (where === 'in a file') body.push(part('name="a"; filename="b"', 'x'.repeat(100_000)).slice(0, -100));
      if (where === 'in a field') body.push(part('name="a"', '12345').slice(0, -5));
      if (where === 'in a file') await expect.poll(() => readdirSync(folder).length, { interval: 2 }).toBe(1);
      exchange.goAway(Object.assign(new Error('gone'), { code: 'ERR_HTTP_CLIENT_GONE' }));
      await expect(form).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
      await isEmpty();
    },
  );

  test('after it, its files are removed', async () => {
    const { request, exchange } = formOf(MULTIPART, part('name="a"; filename="b"', '1') + END);
    const { files } = await request.form();
    expect(existsSync(files[0]!.path)).toBe(true);
    exchange.goAway();
    await isEmpty();
    await expect(files[0]!.keep(join(folder, 'x'))).rejects.toMatchObject(failure('ERR_HTTP_FORM_FILE'));
  });

  test('an answer before the end of the form ends it too', async () => {
    const { request, response, body } = slowForm();
    const form = request.form();
    body.push(part('name="a"; filename="b"', 'x').slice(0, -2));
    await expect.poll(() => readdirSync(folder).length, { interval: 2 }).toBe(1);
    response.fail(503, 'too late');
    await expect(form).rejects.toMatchObject({ code: 'ERR_HTTP_ANSWER_ENDED' });
    await isEmpty();
  });
});

describe('a file', () => {
  const upload = async () => {
    const held = formOf(MULTIPART, part('name="a"; filename="b"', 'content') + END);
    return { ...held, file: (await held.request.form()).files[0]! };
  };

  test('that is kept stays, in place of what was there', async () => {
    const { file, response } = await upload();
    const to = join(folder, 'kept');
    await writeFile(to, 'old');
    await file.keep(to);
    expect(file.path).toBe(to);
    response.end();
    await expect.poll(() => readdirSync(folder), { interval: 2 }).toEqual(['kept']);
    expect(await readFile(to, 'utf8')).toBe('content');
  });

  test('that is being kept while the answer ends stays', async () => {
    const { file, response } = await upload();
    const kept = file.keep(join(folder, 'kept'));
    response.end();
    await kept;
    await expect.poll(() => readdirSync(folder), { interval: 2 }).toEqual(['kept']);
  });

  test('is kept once', async () => {
    const { file } = await upload();
    await file.keep(join(folder, 'one'));
    await expect(file.keep(join(folder, 'two'))).rejects.toMatchObject(failure('ERR_HTTP_FORM_FILE'));
  });

  test('that cannot be kept there can be kept elsewhere', async () => {
    const { file, response } = await upload();
    await expect(file.keep(join(folder, 'no', 'folder'))).rejects.toMatchObject(
      failure('ERR_HTTP_FORM_FILE', { why: 'ENOENT' }),
    );
    await mkdir(join(folder, 'sub'));
    await expect(file.keep(join(folder, 'sub'))).rejects.toMatchObject({ code: 'ERR_HTTP_FORM_FILE' });
    await file.keep(join(folder, 'sub', 'kept'));
    response.end();
    await expect.poll(() => readdirSync(folder), { interval: 2 }).toEqual(['sub']);
  });

  test.each(['', 'a\0b', 1, undefined])('cannot be kept at %j', async (path) => {
    const { file } = await upload();
    await expect(file.keep(path as string)).rejects.toMatchObject(failure('ERR_HTTP_FORM_FILE'));
    await chmod(file.path, 0o600);
  });
});
