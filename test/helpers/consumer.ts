/** A package of somebody who uses tswoole: a folder of its own with `tswoole` (this checkout) among its packages. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');

export class Consumer {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'consumer-')));

  /** @param packages those of this checkout that it has besides */
  constructor(packages: readonly string[] = []) {
    this.write('package.json', '{ "name": "consumer", "private": true, "type": "module" }');
    this.link('tswoole', ROOT);
    for (const name of packages) this.link(name, join(ROOT, 'node_modules', name));
  }

  link(name: string, target: string): void {
    const path = join(this.folder, 'node_modules', name);
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(target, path);
  }

  write(name: string, text: string): void {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  /** @returns what the compiler has to say; nothing where all is well */
  compile(options: readonly string[]): string[] {
    const { stdout, stderr } = spawnSync(process.execPath, [TSC, '--noEmit', '--pretty', 'false', ...options], {
      cwd: this.folder,
      encoding: 'utf8',
    });
    return `${stdout}${stderr}`.split('\n').filter((line) => line !== '');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
