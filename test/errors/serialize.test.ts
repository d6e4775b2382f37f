import fc from 'fast-check';
import { expect, describe as group, test } from 'vitest';
import { deserializeError, ServerError, serializeError } from '../../src/errors/index.js';

/** As it comes out at the other end of a channel that carries JSON. */
function cross(error: unknown): Error {
  return deserializeError(JSON.parse(JSON.stringify(serializeError(error))));
}

group('crossing from one process to another', () => {
  test('a ServerError comes out as the same one', () => {
    const cause = new ServerError('ERR_SYSCALL', { syscall: 'bind', code: 'EADDRINUSE' });
    const error = new ServerError('ERR_PORT_IN_USE', { host: '127.0.0.1', port: 80 }, { cause });
    const crossed = cross(error);
    expect(crossed).toBeInstanceOf(ServerError);
    expect(crossed).toMatchObject({ name: 'ServerError', code: error.code, detail: error.detail, cause: { ...cause } });
    expect(crossed.message).toBe(error.message);
    expect(crossed.stack).toBe(error.stack);
    expect(crossed.cause).toBeInstanceOf(ServerError);
  });

  test('null in a detail stays null', () => {
    const detail = { workerId: 1, exitCode: null, signal: 'SIGKILL' };
    expect(cross(new ServerError('ERR_WORKER_BOOT', detail))).toMatchObject({ code: 'ERR_WORKER_BOOT', detail });
  });

  test('another error keeps name, message, code, stack, detail and cause', () => {
    const error = Object.assign(new TypeError('no', { cause: new RangeError('deep') }), {
      code: 'E_MINE',
      detail: { a: [1] },
    });
    const crossed = cross(error);
    expect(crossed).not.toBeInstanceOf(ServerError);
    expect(crossed).toMatchObject({ name: 'TypeError', message: 'no', code: 'E_MINE', detail: { a: [1] } });
    expect(crossed.stack).toBe(error.stack);
    expect(crossed.cause).toMatchObject({ name: 'RangeError', message: 'deep' });
    expect(Object.keys(crossed)).toEqual(['code', 'detail']);
  });

  test.each([RangeError, TypeError, SyntaxError])('a %o is one on the other side', (kind) => {
    expect(cross(new kind('no'))).toBeInstanceOf(kind);
  });

  test('the class of the user is the name, where the error has none of its own', () => {
    class PaymentRefused extends Error {}
    class ServerError extends Error {}
    expect(cross(new PaymentRefused('no')).name).toBe('PaymentRefused');
    expect(cross(Object.assign(new PaymentRefused('no'), { name: 'Mine' })).name).toBe('Mine');
    expect(cross(new ServerError('no')).name).toBe('Error');
  });

  test('an error with the code of the table that is no ServerError does not become one', () => {
    const crossed = cross(Object.assign(new Error('mine'), { code: 'ERR_ONE_SERVER', detail: {} }));
    expect(crossed).not.toBeInstanceOf(ServerError);
    expect(crossed).toMatchObject({ message: 'mine', code: 'ERR_ONE_SERVER' });
  });

  test.each([
    ['boom', 'boom'],
    [undefined, 'Something that is not an error was thrown: undefined'],
    [{ a: 1 }, 'Something that is not an error was thrown: object {a}'],
    [42, 'Something that is not an error was thrown: number 42'],
  ])('a thrown %j becomes an Error that says so', (thrown, message) => {
    expect(cross(thrown)).toMatchObject({ name: 'Error', message });
  });

  test('an error of another realm, which is no instance of Error here, is kept as well', () => {
    expect(cross({ name: 'DOMException', message: 'aborted', stack: 'somewhere' })).toMatchObject({
      name: 'DOMException',
      message: 'aborted',
      stack: 'somewhere',
    });
  });

  test('every message and code of a plain error survives', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ minLength: 1 }), (message, code) => {
        expect(cross(Object.assign(new Error(message), { code }))).toMatchObject({ message, code });
      }),
    );
  });
});

group('hostile values', () => {
  const throwing = (): never => {
    throw new Error('do not touch');
  };

  test('a cause that is the error itself ends somewhere', () => {
    const error = new Error('snake');
    error.cause = error;
    let depth = 0;
    for (let at: unknown = cross(error); at instanceof Error; at = at.cause) depth++;
    expect(depth).toBe(9);
  });

  test('a detail that contains itself ends somewhere', () => {
    const detail: Record<string, unknown> = { a: 1n, f() {}, nan: Number.NaN };
    detail['self'] = detail;
    expect(cross(Object.assign(new Error('x'), { detail }))).toMatchObject({
      detail: { a: 'bigint 1n', f: 'function f', nan: 'NaN', self: { self: {} } },
    });
  });

  test('properties that throw count as missing', () => {
    const error = { message: 'kept' };
    for (const key of ['name', 'code', 'stack', 'cause', 'detail'])
      Object.defineProperty(error, key, { get: throwing });
    expect(serializeError(error)).toEqual({ name: 'Error', message: 'kept' });
  });

  test('a proxy that throws at every touch is told by its type', () => {
    const hostile = new Proxy(new Error('x'), { get: throwing, getPrototypeOf: throwing, ownKeys: throwing });
    expect(serializeError(hostile)).toEqual({
      name: 'Error',
      message: 'Something that is not an error was thrown: object',
    });
    expect(deserializeError(hostile)).toBeInstanceOf(Error);
  });

  test('a huge error becomes a small record', () => {
    const detail = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`k${index}`, 'v'.repeat(100)]));
    const error = Object.assign(new Error('m'.repeat(1e6)), { stack: 's'.repeat(1e6), code: 'c'.repeat(1e6), detail });
    expect(JSON.stringify(serializeError(error)).length).toBeLessThan(100_000);
  });

  test('a detail cannot set a prototype', () => {
    const crossed = cross(Object.assign(new Error('x'), { detail: JSON.parse('{"__proto__":{"polluted":1},"a":2}') }));
    const { detail } = crossed as Error & { detail: object };
    expect(detail).toEqual({ a: 2 });
    expect(Object.getPrototypeOf(detail)).toBe(Object.prototype);
  });

  test.each([
    { name: 'ServerError', message: 'm', code: 'ERR_PORT_IN_USE' },
    { name: 'ServerError', message: 'm', code: 'ERR_PORT_IN_USE', detail: null },
    { name: 'ServerError', message: 'm', code: 'ERR_PORT_IN_USE', detail: { host: 1, port: '1' } },
    {
      name: 'ServerError',
      message: 'm',
      code: 'ERR_WORKER_BOOT',
      detail: { workerId: null, exitCode: 1, signal: null },
    },
    { name: 'ServerError', message: 'm', code: 'toString', detail: {} },
    { name: 'ServerError', message: 'm', code: 'ERR_OF_TOMORROW', detail: {} },
  ])('%# a record that does not fit its code becomes a plain Error with its message', (record) => {
    const error = deserializeError(record);
    expect(error).not.toBeInstanceOf(ServerError);
    expect(error).toMatchObject({ name: 'ServerError', message: 'm', code: record.code });
  });

  test.each([undefined, null, 1, 'x', [], {}, { message: 1 }])('%j is no record of an error, and is told', (value) => {
    expect(deserializeError(value).message).toContain('An error of another process was expected, received');
  });

  test('whatever is thrown, the record is plain JSON', () => {
    const anyValue = fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true });
    const property = fc.constantFrom('name', 'message', 'code', 'stack', 'detail', 'cause');
    fc.assert(
      fc.property(fc.oneof(anyValue, fc.dictionary(property, anyValue)), (thrown) => {
        const record = serializeError(thrown);
        expect(JSON.parse(JSON.stringify(record))).toEqual(record);
      }),
    );
  });

  test('whatever comes in, an Error comes out', () => {
    const property = fc.constantFrom('name', 'message', 'code', 'stack', 'detail', 'cause');
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.dictionary(property, fc.anything())), (value) => {
        expect(deserializeError(value)).toBeInstanceOf(Error);
      }),
    );
  });
});
