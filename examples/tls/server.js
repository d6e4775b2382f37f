// TLS with a certificate for each name, created by openssl at the first start. Replace the files and reload (kill -USR1):
// new clients get the new certificates, and no client is disconnected.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server } from 'tswoole';

const folder = process.env.CERTIFICATES ?? join(tmpdir(), 'tswoole-example-tls');
mkdirSync(folder, { recursive: true });

function certificate(name) {
  const cert = join(folder, `${name}.crt`);
  const key = join(folder, `${name}.key`);
  if (!existsSync(cert)) {
    const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'];
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
    execFileSync('openssl', ['req', ...kind, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  }
  return { cert, key };
}

const server = new Server({
  port: Number(process.env.PORT ?? 9505),
  framing: { type: 'eof', delimiter: '\n', split: true },
  tls: {
    ...certificate('localhost'),
    sni: { 'one.test': certificate('one.test'), 'two.test': certificate('two.test') },
  },
});

server.on('receive', (conn, data) => {
  const { serverName, version, cipher } = conn.info()?.tls ?? {};
  conn.send(`${data.toString().trim()}, by ${version} (${cipher}) for ${serverName || 'nobody in particular'}\n`);
});

await server.start();
console.log(`TLS server listening on ${server.host}:${server.port}
try  openssl s_client -quiet -connect ${server.host}:${server.port} -servername one.test`);
