// Proves that the imports of `src` obey scripts/tree-rules.mjs, and that CONTRIBUTING.md shows its folders.
// `node scripts/imports.mjs --table` prints what belongs there. `node scripts/imports.mjs FOLDER RULES` looks at another tree.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { importsOf, readTree } from './source-tree.mjs';

const [first, second] = process.argv.slice(2);
const root = fileURLToPath(new URL('..', import.meta.url));
const isOwn = first === undefined || first === '--table';
const folder = isOwn ? `${root}src` : resolve(first);
const rulesFile = isOwn ? 'scripts/tree-rules.mjs' : second;
const rules = await import(isOwn ? './tree-rules.mjs' : pathToFileURL(resolve(second)).href);

const places = [...rules.folders, ...rules.files];
const known = new Map(places.map((place) => [place.name, place]));

if (first === '--table') {
  console.log(table());
} else {
  const tree = readTree(folder).map((file) => ({ ...file, place: placeOf(file.path), imports: importsOf(file) }));
  const faults = [
    ...faultsOfRules(),
    ...tree.flatMap(faultsOfFile),
    ...circles(tree),
    ...(isOwn ? faultsOfContributing() : []),
  ];
  for (const fault of faults) console.error(`imports: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
}

/** The folder at the top, or the file where it lies in `src` itself. */
function placeOf(path) {
  return path.split('/')[0];
}

/** What makes the rules themselves wrong: then they prove nothing. */
function faultsOfRules() {
  const order = new Map(rules.folders.map(({ name }, at) => [name, at]));
  const isRole = (name) => rules.roles.includes(name);
  return places.flatMap(({ name, sees }) =>
    sees.flatMap((seen) => {
      const pair = `${rulesFile}: "${name}" sees "${seen}"`;
      if (!known.has(seen)) return `${pair}, which is not there`;
      if ((order.get(seen) ?? -1) >= (order.get(name) ?? Number.POSITIVE_INFINITY)) {
        return `${pair}, which does not stand below it: imports point down. Turn the import round, or move what both need further down`;
      }
      if (!isRole(seen) || Object.hasOwn(rules.composers, name)) return [];
      return `${pair}, a role: only composers may. Move what both need to ipc, memory, control …`;
    }),
  );
}

function faultsOfFile(file) {
  const place = known.get(file.place);
  if (place === undefined) {
    return [
      `src/${file.path}: "${file.place}" is not in ${rulesFile}. Add it there: where it stands, and what it sees`,
    ];
  }
  return file.imports.flatMap((imported) => faultOf(file, place, imported) ?? []);
}

function faultOf({ path }, place, { line, file, module }) {
  const at = `src/${path}:${line}`;
  if (file !== undefined) return faultOfSight(at, place, file);
  const allowed = rules.pure[place.name];
  if (allowed !== undefined && (module === undefined || !allowed.includes(module))) {
    const what = module === undefined ? 'loads a module while it runs' : `imports ${module}`;
    return `${at} ${what}: ${place.name} is pure. Move it to the folder that calls it; or, where ${module} touches nothing, add it to "pure" in ${rulesFile}`;
  }
  const owners = rules.packages[module];
  if (owners === undefined || owners.includes(place.name)) return undefined;
  return `${at} imports ${module}, which only ${owners.join(', ')} may. Put what you need of it there`;
}

function faultOfSight(at, place, file) {
  const seen = placeOf(file);
  if (seen === place.name || place.sees.includes(seen)) return undefined;
  const both = rules.roles.includes(place.name) && rules.roles.includes(seen);
  const rule = both
    ? 'roles never import each other. Move what both need to ipc, memory, control …, or send a message'
    : `${place.name} may not see ${seen}. Move what is needed to a folder that ${place.name} sees (${place.sees.join(', ')}); or, if ${seen} stands below it, add it to its "sees" in ${rulesFile}`;
  return `${at} imports ${file}: ${rule}`;
}

/** Files of one folder that know each other, more than there may be: each set of files that reach each other. */
function circles(tree) {
  const next = new Map(
    tree.map(({ path, place, imports }) => [
      path,
      imports.map(({ file }) => file).filter((file) => file !== undefined && file !== path && placeOf(file) === place),
    ]),
  );
  return components(next)
    .filter((files) => files.length > rules.mostFilesInCircle)
    .filter(([file]) => !rules.notYet.some((start) => file.startsWith(start)))
    .map((files) => {
      const names = files.sort().map((file) => `src/${file}`);
      const most = rules.mostFilesInCircle;
      return `${names.join(', ')} import each other in a circle of ${files.length}, at most ${most} may. Move what they share to a file of its own`;
    });
}

/** Strongly connected components (Tarjan). */
function components(next) {
  const index = new Map();
  const low = new Map();
  const stack = [];
  const found = [];
  const connect = (file) => {
    index.set(file, index.size);
    low.set(file, index.get(file));
    stack.push(file);
    for (const other of next.get(file) ?? []) {
      if (!index.has(other)) connect(other);
      if (stack.includes(other)) low.set(file, Math.min(low.get(file), low.get(other)));
    }
    if (low.get(file) === index.get(file)) found.push(stack.splice(stack.indexOf(file)));
  };
  for (const file of next.keys()) if (!index.has(file)) connect(file);
  return found;
}

function table() {
  const rows = rules.folders.map(({ name, holds, sees }) => {
    const list = sees.filter((seen) => rules.folders.some((other) => other.name === seen));
    return `| \`${name}\` | ${holds} | ${list.join(', ')} |`;
  });
  return ['| folder | holds | sees |', '| --- | --- | --- |', ...rows].join('\n');
}

function faultsOfContributing() {
  const text = readFileSync(`${root}CONTRIBUTING.md`, 'utf8');
  if (text.includes(table())) return [];
  return [
    'CONTRIBUTING.md does not show the folders as they are. Put there what "node scripts/imports.mjs --table" prints',
  ];
}
