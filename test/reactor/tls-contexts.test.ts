import { describe, expect, it } from 'vitest';
import { NodeTlsTransport } from '../../src/reactor/transport/node-tls.js';
import { TlsContexts } from '../../src/reactor/transport/openssl/tls-contexts.js';
import { OpensslTransport } from '../../src/reactor/transport/openssl.js';
import { PlainTransport } from '../../src/reactor/transport/plain.js';
import { certificateFor } from '../helpers/certificates.js';
import { noPoller, ReactorWorld } from '../helpers/reactor-world.js';
import { loaded } from '../helpers/tls-echo-server.js';

describe('the certificate of a port', () => {
  const main = certificateFor('main.test');
  const [one, many] = [certificateFor('one.test'), certificateFor('many.test')];
  const sni = { 'one.test': one, '*.Many.test': many, '*.one.test': one, 'two.many.test': one };
  const contexts = new TlsContexts(loaded({ ...main, sni }));
  const usual = contexts.contextFor('');

  it.each([
    ['one.test', true],
    ['ONE.TEST', true],
    ['any.many.test', true],
    ['ANY.MANY.TEST', true],
    ['a.one.test', true],
    ['', false],
    ['many.test', false],
    ['.many.test', false],
    ['a.b.many.test', false],
    ['notone.test', false],
    ['one.test.', false],
    ['*', false],
  ])('for "%s" is one by that name: %s', (name, isOwn) => {
    expect(contexts.contextFor(name) !== usual).toBe(isOwn);
  });

  it('is the last one that matches', () => {
    expect(contexts.contextFor('two.many.test')).not.toBe(contexts.contextFor('three.many.test'));
    expect(contexts.contextFor('two.many.test')).not.toBe(usual);
  });

  it('is the one there is where none has a name', () => {
    const plain = new TlsContexts(loaded({ ...main }));
    expect(plain.contextFor('one.test')).toBe(plain.contextFor(''));
  });

  it.each([
    [{}, false],
    [{ requestCert: true }, true],
  ])('with %j asks for one of the client: %s', (options, asks) => {
    expect(new TlsContexts(loaded({ ...main, ...options })).asksForCertificate).toBe(asks);
  });
});

it('a connection can go over to another process where its keys do not lie in this one', () => {
  const transports = [
    new PlainTransport(new ReactorWorld().context),
    new OpensslTransport(noPoller),
    new NodeTlsTransport(),
  ];
  expect(transports.map(({ canHandOff }) => canHandOff)).toEqual([true, false, false]);
});
