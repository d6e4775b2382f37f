import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { managers, templates } from './templates.mjs';

const SOURCES = fileURLToPath(new URL('../templates', import.meta.url));
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/**
 * Writes a project. A file that ends in `.ts` is written with the ending `.js` for JavaScript: it holds no types then. Where
 * it does, a `.js` file of the same name lies beside it. A leading `_` stands for a dot, which npm would not pack.
 * @param project `{folder, name, template, js, pm}`
 * @returns the paths that were written, relative to the folder
 */
export function generate(project) {
  const { template, js } = project;
  const { parts = [] } = templates[template];
  const layers = ['_shared/all', js ? '_shared/js' : '_shared/ts', ...parts.map((part) => `_shared/${part}`), template];
  const files = new Map(layers.flatMap((layer) => filesOf(join(SOURCES, layer), js)));
  const values = valuesOf(project);
  const texts = [...files].map(([path, source]) => [path, fill(readFileSync(source, 'utf8'), values)]);
  texts.push(['package.json', `${JSON.stringify(packageOf(project), null, 2)}\n`]);
  if (project.pm === 'yarn') texts.push(['.yarnrc.yml', 'nodeLinker: node-modules\n']);
  for (const [path, text] of texts) write(join(project.folder, fill(path, values)), text);
  return texts.map(([path]) => fill(path, values)).sort();
}

function write(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** @returns pairs: the path in the project, the file it comes from */
function filesOf(folder, js) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => isMeant(file, js))
    .map((file) => [nameOf(relative(folder, file), js), file]);
}

function isMeant(file, js) {
  if (file.endsWith('.ts')) return !js || !existsSync(file.replace(/ts$/, 'js'));
  return js || !(file.endsWith('.js') && existsSync(file.replace(/js$/, 'ts')));
}

function nameOf(path, js) {
  const visible = path.replace(/^_(?=gitignore|dockerignore)/, '.');
  return js ? visible.replace(/\.ts$/, '.js') : visible;
}

function fill(text, values) {
  return text.replaceAll(/\{\{(\w+)\}\}/g, (whole, key) => values[key] ?? whole);
}

function valuesOf({ name, template, js, pm }) {
  const { about, port, next } = templates[template];
  const { lock, image, production, run } = managers[pm];
  return {
    name,
    unit: name.replace(/^@/, '').replaceAll('/', '-'),
    about,
    port: String(port),
    next,
    pm,
    run,
    lock,
    image,
    production,
    entry: js ? 'src/server.js' : 'dist/src/server.js',
    public: js ? '../public' : '../../public',
    source: js ? 'src/server.js' : 'src/server.ts',
    test: js ? 'test/server.test.js' : 'test/server.test.ts',
  };
}

function packageOf({ name, template, js }) {
  const { dependencies = {}, types = {} } = templates[template];
  const scripts = js
    ? {
        dev: 'tswoole start src/server.js --watch src',
        start: 'tswoole start src/server.js',
        test: 'node --test test/server.test.js',
      }
    : {
        dev: 'node dev.mjs',
        build: 'tsc',
        start: 'tsc && tswoole start dist/src/server.js',
        test: 'tsc && node --test dist/test/server.test.js',
      };
  return {
    name,
    version: '0.0.0',
    private: true,
    type: 'module',
    engines: { node: '>=20.19' },
    scripts,
    dependencies: { ...dependencies, tswoole: `^${version}` },
    ...(js ? {} : { devDependencies: { ...types, '@types/node': '>=20.19', typescript: '^7.0.2' } }),
  };
}
