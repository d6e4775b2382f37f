// The API reference, from the docstrings of the published types. TypeDoc needs a TypeScript of its own, so it lives in the
// site's package.
import { join } from 'node:path';
import { Application } from 'typedoc';
import { pagesFolder, root } from './pages.mjs';

export async function writeApi() {
  const app = await Application.bootstrapWithPlugins({
    plugin: ['typedoc-plugin-markdown'],
    entryPoints: [join(root, 'dist/index.d.ts')],
    tsconfig: join(import.meta.dirname, 'tsconfig.json'),
    out: join(pagesFolder, 'api'),
    name: 'API',
    readme: 'none',
    disableSources: true,
    excludeExternals: true,
    excludePrivate: true,
    excludeInternal: true,
    hidePageHeader: true,
    hideBreadcrumbs: true,
    entryFileName: 'index.md',
    outputFileStrategy: 'members',
    useCodeBlocks: true,
    logLevel: 'Error',
  });
  const project = await app.convert();
  if (project === undefined || app.logger.hasErrors()) throw new Error('site: TypeDoc could not read dist/index.d.ts');
  await app.generateOutputs(project);
}
