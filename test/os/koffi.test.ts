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
