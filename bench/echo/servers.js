// The servers whose echo is compared.
import { mkdtempSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '../harness/tools.js';

const peer = (name) => fileURLToPath(new URL(`../peers/${name}`, import.meta.url));
const workers = String(availableParallelism());

export function listServers() {
  const js = (name, file, env = {}) => ({ name, command: [process.execPath, peer(file)], env });
  const compiled = compile(peer('echo.c'), join(mkdtempSync(join(tmpdir(), 'bench-')), 'echo'));
  return [
    js('tswoole 1+1', 'tswoole.js', { REACTORS: '1', WORKERS: '1' }),
    js('tswoole defaults', 'tswoole.js'),
    js('BASE, 1 worker', 'tswoole.js', { MODE: 'base', WORKERS: '1' }),
    js(`BASE ×${workers}`, 'tswoole.js', { MODE: 'base', WORKERS: workers }),
    js('node:net', 'node.js'),
    js(`node:cluster ×${workers}`, 'node.js', { WORKERS: workers }),
    ...(compiled === undefined ? [] : [{ name: 'C epoll', command: [compiled], env: {} }]),
  ];
}
