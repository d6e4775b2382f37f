import { spawnSync } from 'node:child_process';
import { expect, it, vi } from 'vitest';

const system = vi.hoisted(() => ({ hasMusl: false }));
vi.mock('node:fs', async (original) => ({
  ...(await original<typeof import('node:fs')>()),
  existsSync: () => system.hasMusl,
}));

const load = async () => (await import('../../src/os/koffi.js')).koffi;

it('is the same where its binary is known to lie and where koffi looks for it', async () => {
  const known = await load();
  vi.resetModules();
  system.hasMusl = true; // two binaries: which one fits is koffi's to say
  const found = await load();
  expect(known.version).toMatch(/^3\.\d+\.\d+$/);
  expect(found).toBe(known);
});

it('says how its binary is had where that is missing', () => {
  const build = new URL('../../build/os/koffi.js', import.meta.url).href;
  const script = `
    const fs = require('node:fs');
    fs.existsSync = () => false;
    const Module = require('node:module');
    Module.syncBuiltinESMExports();
    const resolve = Module._resolveFilename;
    Module._resolveFilename = function (name, ...rest) {
      if (name === 'koffi') throw new Error('Cannot find the native Koffi module\\nRequire stack: …');
      return resolve.call(this, name, ...rest);
    };
    import('${build}').catch(({ code, message }) => console.log(code + ' ' + message));`;
  const { stdout } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  expect(stdout).toMatch(
    new RegExp(
      `^ERR_KOFFI The package koffi, .* its binary for ${process.platform}-${process.arch}, .*: Cannot find the native Koffi module\\. .*npm install --include=optional`,
    ),
  );
});
