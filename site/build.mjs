// node build.mjs [--dev] [--base /PATH/]: gathers the pages, writes the API from the docstrings, and builds the site into
// `site/dist`; with --dev it serves the site, and builds what changes under `site`. The package must be built before.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build, createServer } from 'vitepress';
import { writeApi } from './api.mjs';
import { gatherPages, root } from './pages.mjs';

const { values } = parseArgs({ options: { dev: { type: 'boolean', default: false }, base: { type: 'string' } } });

if (!existsSync(join(root, 'dist/index.d.ts'))) {
  console.error('site: build the package first: node scripts/prepare.mjs');
  process.exit(1);
}
gatherPages();
await writeApi();
const here = import.meta.dirname;
const options = values.base === undefined ? {} : { base: values.base };
if (values.dev) {
  const server = await createServer(here, options);
  await server.listen();
  server.printUrls();
} else {
  await build(here, options);
}
