// Releases tswoole and create-tswoole, in the same version:
//   npm run release                 proves everything and packs, changes nothing
//   npm run release -- --publish    tags and publishes as well
// The steps: the tree is clean, both versions are equal and not tagged yet, both packages name the public repository (npm signs
// provenance for no other), CHANGELOG.md has the section, `npm run check` passes, both tarballs have what they should and stay
// below their budgets.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const MIB = 2 ** 20;
const root = fileURLToPath(new URL('..', import.meta.url));

/** What each tarball must hold, must not hold, and may weigh unpacked. */
const packages = [
  {
    folder: '.',
    budget: 7 * MIB,
    needed: ['dist/index.js', 'dist/index.cjs', 'dist/index.d.ts', 'dist/cli/main.cjs', 'README.md', 'LICENSE'],
    foreign: /^(src|test|scripts|build|create|node_modules|\.)/,
  },
  {
    folder: 'create',
    budget: MIB / 4,
    needed: [
      'bin.mjs',
      'lib/main.mjs',
      'README.md',
      'templates/_shared/all/_gitignore',
      'templates/http/src/server.ts',
    ],
    foreign: /(^|\/)(node_modules|dist|\.git)(\/|$)/,
  },
];

main();

function main() {
  const { values } = readArguments();
  const { version } = read('package.json');
  const tag = `v${version}`;
  const steps = [
    ['the tree is clean', () => isClean()],
    [
      'versions are equal',
      () => read('create/package.json').version === version || `create/package.json is not ${version}`,
    ],
    ['both name the repository', () => namesRepository()],
    [`CHANGELOG.md has ${version}`, () => hasSection(version)],
    [`${tag} is a new tag`, () => git('tag', '--list', tag) === '' || `${tag} is there`],
    ['npm run check', () => runs('npm', ['run', 'check'])],
    ...packages.map((one) => [`the tarball of ${read(`${one.folder}/package.json`).name}`, () => isPacked(one)]),
  ];
  // Each is tried, so that one run tells everything; what is published has passed them all.
  const failed = steps.filter(([title, step]) => !passes(title, step));
  if (failed.length > 0) return fail(`${failed.length} of ${steps.length} steps failed; nothing was published.`);
  if (!values.publish) return say(`${version} may be published: npm run release -- --publish`);
  publish(tag);
}

function readArguments() {
  try {
    const options = { publish: { type: 'boolean' }, 'dry-run': { type: 'boolean' } };
    const read = parseArgs({ options });
    if (read.values.publish && read.values['dry-run']) throw new Error('Either --publish or --dry-run');
    return read;
  } catch (error) {
    fail(`${error.message}. --dry-run (the default) and --publish are what there is.`);
    return process.exit();
  }
}

function passes(title, step) {
  const result = step();
  say(`${title}: ${result === true ? 'ok' : `FAILED: ${result}`}`);
  return result === true;
}

function isClean() {
  const changes = git('status', '--porcelain');
  return changes === '' || `commit or remove:\n${changes}`;
}

/** npm shows it, and signs provenance only for the repository that a package names. */
function namesRepository() {
  const urls = packages.map(({ folder }) => {
    const { repository } = read(`${folder}/package.json`);
    return typeof repository === 'string' ? repository : repository?.url;
  });
  const [url, urlOfCreate] = urls;
  if (typeof url === 'string' && url !== '' && url === urlOfCreate) return true;
  const came = urls.map((one) => JSON.stringify(one) ?? 'nothing').join(' and ');
  return `set "repository": { "type": "git", "url": "git+https://HOST/OWNER/NAME.git" } in package.json, and the same with "directory": "create" in create/package.json, to the address of the public repository (${came} came)`;
}

function hasSection(version) {
  const changelog = readFileSync(`${root}/CHANGELOG.md`, 'utf8');
  const [, section = ''] = changelog.split(`\n## [${version}]`);
  return (
    section.split('\n## [')[0].split('\n').slice(1).join('').trim() !== '' || `a section "## [${version}]" is expected`
  );
}

function isPacked({ folder, budget, needed, foreign }) {
  const { status, stdout, stderr } = run(
    'npm',
    ['pack', '--dry-run', '--json', '--ignore-scripts'],
    `${root}/${folder}`,
  );
  if (status !== 0) return stderr;
  const told = JSON.parse(stdout);
  const [{ files, unpackedSize }] = Array.isArray(told) ? told : Object.values(told); // npm 12 names them
  const paths = files.map(({ path }) => path);
  const missing = needed.filter((path) => !paths.includes(path));
  const strange = paths.filter((path) => foreign.test(path));
  const faults = [
    ...missing.map((path) => `${path} is missing`),
    ...strange.map((path) => `${path} does not belong there`),
    ...(unpackedSize > budget ? [`${unpackedSize} bytes, and ${budget} are the budget`] : []),
  ];
  return faults.length === 0 || faults.join('; ');
}

/** The tag comes last: it names what has been published. */
function publish(tag) {
  if (runs('npm', ['publish'], root) !== true) return fail('npm publish failed; nothing was tagged.');
  if (runs('npm', ['publish'], `${root}/create`) !== true) {
    return fail('tswoole was published, create-tswoole was not: run `npm publish` in create, then tag.');
  }
  const { status, stderr } = run('git', ['tag', '--annotate', tag, '--message', tag]);
  if (status !== 0) return fail(`both were published, but not tagged: ${stderr.trim()}`);
  say(`published. Now: git push origin ${tag}`);
}

function runs(command, args, cwd = root) {
  return spawnSync(command, args, { cwd, stdio: 'inherit' }).status === 0 || `${command} ${args.join(' ')} failed`;
}

function run(command, args, cwd = root) {
  return spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 64 * MIB });
}

function git(...args) {
  const { status, stdout, stderr } = run('git', args);
  if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

function read(file) {
  return JSON.parse(readFileSync(`${root}/${file}`, 'utf8'));
}

function say(sentence) {
  console.log(`release: ${sentence}`);
}

function fail(sentence) {
  console.error(`release: ${sentence}`);
  process.exitCode = 1;
}
