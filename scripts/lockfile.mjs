// Checks what `npm ci` and a reader rely on: package-lock.json has an entry for every dependency of every package, on
// every platform, and does not name a registry. npm leaves a platform's package out when the registry at hand does not
// have it, and `npm ci` then refuses the file everywhere; take such entries over from the last commit.
import { readFileSync } from 'node:fs';

const { packages } = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8'));

const faults = Object.entries(packages).flatMap(([path, { resolved, dependencies, optionalDependencies }]) => [
  ...(resolved === undefined ? [] : [`${path} names where it came from: ${resolved}`]),
  ...Object.keys({ ...dependencies, ...optionalDependencies })
    .filter((name) => !isLocked(path, name))
    .map((name) => `${name}, which ${path} depends on, is missing`),
]);

for (const fault of faults) console.error(`lockfile: ${fault}`);
process.exitCode = faults.length === 0 ? 0 : 1;

/** As Node looks for it: beside the dependent package, then in each folder above. */
function isLocked(path, name) {
  const inner = path === '' ? 'node_modules' : `${path}/node_modules`;
  if (packages[`${inner}/${name}`] !== undefined) return true;
  return path !== '' && isLocked(path.slice(0, Math.max(path.lastIndexOf('/node_modules/'), 0)), name);
}
