// What is compiled, fetched or made for a benchmark. Of each: undefined where it cannot be had.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A binary from npm, kept in .cache/bun. */
export function fetchBun() {
  const prefix = fileURLToPath(new URL('../../.cache/bun', import.meta.url));
  const binary = join(prefix, `node_modules/@oven/bun-${process.platform}-${process.arch}/bin/bun`);
  if (!existsSync(binary)) {
    mkdirSync(prefix, { recursive: true });
    const quiet = ['--no-save', '--no-package-lock', '--ignore-scripts', '--loglevel=error'];
    spawnSync('npm', ['install', '--prefix', prefix, ...quiet, 'bun@1'], { stdio: 'ignore' });
  }
  return existsSync(binary) ? binary : undefined;
}

/** @param flags of the compiler, behind the source @returns the path of the program */
export function compile(source, program, flags = []) {
  const { status } = spawnSync('cc', ['-O2', '-o', program, source, ...flags], { stdio: 'ignore' });
  return status === 0 ? program : undefined;
}

/** Made for localhost: P-256, self-signed. */
export function makeCertificate(folder) {
  const [cert, key] = [join(folder, 'crt'), join(folder, 'key')];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const files = ['-subj', '/CN=localhost', '-keyout', key, '-out', cert];
  const { status } = spawnSync('openssl', ['req', '-x509', ...curve, ...files], { stdio: 'ignore' });
  return status === 0 ? { cert, key } : undefined;
}

/** nginx of the system; where Debian puts it is not in every path. */
export function findNginx() {
  return ['nginx', '/usr/sbin/nginx'].find((name) => spawnSync(name, ['-v'], { stdio: 'ignore' }).status === 0);
}
