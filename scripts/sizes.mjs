// Proves that no file of `src` and no function in it is larger than scripts/tree-rules.mjs says.
// `node scripts/sizes.mjs FOLDER RULES` looks at another tree.
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { functionsOf, readTree } from './source-tree.mjs';

const [given, rulesGiven] = process.argv.slice(2);
const folder = given === undefined ? fileURLToPath(new URL('../src', import.meta.url)) : resolve(given);
const { sizes, notYet } = await import(
  given === undefined ? './tree-rules.mjs' : pathToFileURL(resolve(rulesGiven)).href
);

const faults = readTree(folder)
  .filter(({ path }) => !notYet.some((start) => path.startsWith(start)))
  .flatMap((file) => [...faultsOfLength(file), ...faultsOfFunctions(file)]);
for (const fault of faults) console.error(`sizes: ${fault}`);
if (faults.length > 0) process.exitCode = 1;

function faultsOfLength({ path, text }) {
  const lines = text.split('\n').length - 1;
  if (lines <= sizes.lines || sizes.exceptions.includes(path)) return [];
  return [
    `src/${path} has ${lines} lines, at most ${sizes.lines} may be. Split it by what its parts are responsible for`,
  ];
}

function faultsOfFunctions(file) {
  return functionsOf(file)
    .filter(({ parameters }) => parameters > sizes.parameters)
    .map(({ name, line, parameters }) => {
      const most = sizes.parameters;
      return `src/${file.path}:${line} ${name} has ${parameters} parameters, at most ${most} may be. Take those that belong together as one object`;
    });
}
