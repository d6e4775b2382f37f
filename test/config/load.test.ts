import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { messageOf } from '../../src/cli/exit.js';
import { findConfig, loadConfig } from '../../src/config/load.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'config-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function write(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

describe('the config file', () => {
  it.each(['ts', 'mts', 'js', 'mjs', 'cjs', 'json'])('is found as tswoole.config.%s', (ending) => {
    expect(findConfig(folder)).toBeUndefined();
    const file = write(`tswoole.config.${ending}`, '');
    expect(findConfig(folder)).toBe(file);
  });

  it('is not chosen among two', () => {
    write('tswoole.config.js', '');
    write('tswoole.config.json', '');
    expect(() => findConfig(folder)).toThrow(/tswoole\.config\.json is there too, and only one can hold/);
    expect(findConfig(folder, 'tswoole.config.json')).toBe(join(folder, 'tswoole.config.json'));
  });

  it('that is given must be there, and be a file', () => {
    mkdirSync(join(folder, 'config'));
    expect(() => findConfig(folder, 'lost.js')).toThrow(/lost\.js cannot be used: there is no such file/);
    expect(() => findConfig(folder, 'config')).toThrow(/there is no such file/);
  });

  it('that exports a promise which is rejected is told of, whatever the reason is', async () => {
    const file = write('tswoole.config.mjs', "export default Promise.reject('no secret');");
    await expect(loadConfig(file)).rejects.toMatchObject({ code: 'ERR_CONFIG', cause: 'no secret' });
  });

  it('that every user may write to is run only when it is named', () => {
    const file = write('tswoole.config.js', '');
    chmodSync(file, 0o666);
    expect(() => findConfig(folder)).toThrow(
      /every user may write to it, so it is not run unasked; name it by --config/,
    );
    expect(findConfig(folder, file)).toBe(file);
  });

  it.runIf(process.getuid?.() === 0)('of another user is run only when it is named, or by sudo of that user', () => {
    const file = write('tswoole.config.js', '');
    chownSync(file, 1234, 1234);
    vi.stubEnv('SUDO_UID', undefined);
    expect(() => findConfig(folder)).toThrow(/it belongs to user 1234/);
    expect(findConfig(folder, file)).toBe(file);
    vi.stubEnv('SUDO_UID', '1234');
    expect(findConfig(folder)).toBe(file);
  });

  it.each([
    ['a.mjs', `export default { name: 'a', script: 'x.js' };`],
    ['a.js', `export default { name: 'a', script: 'x.js' };`],
    ['a.cjs', `module.exports = { name: 'a', script: 'x.js' };`],
    ['a.json', `{ "name": "a", "script": "x.js" }`],
  ])('is read: %s', async (name, text) => {
    write('package.json', '{"type":"module"}');
    const { apps } = await loadConfig(write(name, text));
    expect(apps.map((app) => app.name)).toEqual(['a']);
  });

  it('of TypeScript needs a Node that strips types, and says which do', async () => {
    const file = write('a.mts', `export default { name: 'a', script: 'x.js' as string };`);
    await expect(loadConfig(file, false)).rejects.toThrow(
      /Node v\d+.* Node 22\.18 and later, and 23\.6 and later.*tswoole\.config\.mjs/,
    );
  });

  it('that cannot be loaded says why', async () => {
    const thrown = loadConfig(write('throws.mjs', `const f = () => {\n  throw new Error('not today');\n};\nf();`));
    await expect(thrown).rejects.toMatchObject({
      ...{ code: 'ERR_CONFIG', message: expect.stringContaining('it cannot be loaded (line 2)') },
      cause: { message: 'not today' },
    });
    await expect(loadConfig(write('bare.mjs', 'export const x = 1;'))).rejects.toThrow(/it has no default export/);
    await expect(loadConfig(write('bad.json', '{,}'))).rejects.toThrow(/bad\.json cannot be used: it is not JSON \(/);
    const app = '{"name":"api","script":"a.js"}';
    expect((await loadConfig(write('marked.json', `\uFEFF${app}`))).apps).toHaveLength(1);
    const broken = '{\n  "name": "api",\n  "admin": { "token": "sesame" }\n  "port": 80\n}';
    const error: unknown = await loadConfig(write('broken.json', broken)).catch((why: unknown) => why);
    expect(messageOf(error)).toMatch(/broken\.json cannot be used: it is not JSON \(line 4: Expected ',' or '}'/);
    expect(messageOf(error)).not.toContain('sesame');
    await expect(loadConfig(write('a.yaml', ''))).rejects.toThrow(/"\.yaml" is none of \.ts, /);
  });
});

it('a config whose key throws is refused', async () => {
  const file = write('getter.mjs', "export default { script: 'a.js', get name() { throw new Error('no name'); } };");
  await expect(loadConfig(file)).rejects.toMatchObject({ code: 'ERR_CONFIG', cause: { message: 'no name' } });
});

it('a config that waits for what never comes is refused in time', async () => {
  const file = write('tswoole.config.mjs', 'await new Promise(() => {}); export default {};');
  await expect(loadConfig(file, true, 20)).rejects.toThrow(/has not finished loading after 20 ms/);
});
