import { existsSync, lstatSync, rmSync, writeFileSync } from 'node:fs';
import { isAbsolute, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { CONFIG_NAMES, nodeStripsTypes } from '../../config/load.js';
import { CliError, ExitCode } from '../exit.js';
import { whyNoScript } from '../is-script.js';
import { lookAtProject, type Project } from '../project.js';
import { print } from '../terminal.js';

export function addInit(program: Command): void {
  program
    .command('init')
    .summary('write a config file for the app in this folder')
    .description(
      'Writes tswoole.config.* for the app it finds in this folder: it reads package.json and looks for the script that starts the ' +
        'app. Says what it found, and what to do next.',
    )
    .argument('[entry]', 'the script that starts the app, where it is not found')
    .option('-f, --force', 'write over a config file that is there')
    .action((entry: string | undefined, { force }: { force?: boolean }) => init(process.cwd(), entry, force === true));
}

/** @throws CliError usage when there is a config file, or no script is found */
export function init(
  folder: string,
  given: string | undefined,
  isForced: boolean,
  stripsTypes = nodeStripsTypes(),
): void {
  const entry = given === undefined ? undefined : entryIn(folder, given);
  const project = projectIn(folder, entry);
  const { script, foundBy } = project;
  if (script === undefined) {
    throw new CliError(
      ExitCode.usage,
      `No script that starts an app was found in ${folder}. Name it: tswoole init src/server.js`,
    );
  }
  const name = fileNameFor(project, stripsTypes);
  refuseOthers(folder, name, isForced);
  write(join(folder, name), configText(project, script), isForced);
  print(`Found ${kindOf(project)}: ${script} (${foundBy}).`);
  print(`Wrote ${name}. docs/config.md describes all keys.`);
  if (project.encryptsBy !== '') process.stderr.write(`tswoole: ${adviceOnTls(project.encryptsBy, script, name)}\n`);
  print(['Next:', ...stepsFor(project)].join('\n  '));
}

/** @returns relative to the folder @throws CliError usage when it is not there, or no script */
function entryIn(folder: string, given: string): string {
  const file = resolve(folder, given);
  if (!existsSync(file)) throw new CliError(ExitCode.usage, `There is no file ${file}.`);
  const why = whyNoScript(file);
  if (why !== undefined)
    throw new CliError(
      ExitCode.usage,
      `${file} ${why}. Name the script that starts the app: tswoole init src/server.js`,
    );
  return isAbsolute(given) ? relative(folder, file) : given;
}

function projectIn(folder: string, entry: string | undefined): Project {
  try {
    return lookAtProject(folder, entry);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const problem = error instanceof SyntaxError ? 'is not JSON' : 'cannot be read';
    throw new CliError(ExitCode.usage, `${join(folder, 'package.json')} ${problem}: ${error.message}.`);
  }
}

/** Writes a file of its own, never through a link to another place. */
function write(file: string, text: string, isForced: boolean): void {
  try {
    if (isForced) rmSync(file, { force: true });
    writeFileSync(file, text, { flag: 'wx' });
  } catch (error) {
    throw new CliError(ExitCode.failed, `${file} cannot be written: ${(error as Error).message}.`);
  }
}

/** Also a link to what is not there. */
function isThere(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

/** With --force, the file that is written over may only be the one of the same name: Node would find two. */
function refuseOthers(folder: string, name: string, isForced: boolean): void {
  const there = CONFIG_NAMES.filter((known) => isThere(join(folder, known)));
  const [first] = there;
  if (first === undefined) return;
  if (!isForced) throw new CliError(ExitCode.usage, `There is ${first} already; --force writes over it.`);
  const other = there.find((known) => known !== name);
  if (other === undefined) return;
  throw new CliError(
    ExitCode.usage,
    `${name} would be written, and ${other} is there too: only one can hold. Remove it.`,
  );
}

/** A config is an ES module, whatever the package is. */
function fileNameFor({ hasTypeScript, isModule }: Project, stripsTypes: boolean): string {
  const letters = hasTypeScript && stripsTypes ? 'ts' : 'js';
  return `tswoole.config.${isModule ? '' : 'm'}${letters}`;
}

function kindOf({ framework, http }: Project): string {
  if (!http) return 'a server of tswoole';
  return framework === '' ? 'an app' : `an app of ${framework}`;
}

/** `tswoole start` refuses such an app, or warns where it exports itself. */
function adviceOnTls(module: string, script: string, name: string): string {
  return (
    `${script} seems to make a server of node:${module}; such an app is refused, or served in plain HTTP where it exports itself, ` +
    'as TLS and HTTP/2 are the work of tswoole. Let a server of node:http listen with the same app, or export the app, and ' +
    `name the certificate in ${name} (tls): docs/tls.md.`
  );
}

function configText({ name, framework, http, encryptsBy, hasEnvFile, hasTswoole }: Project, script: string): string {
  const what = framework === '' ? 'an app that listens by node:http, or exports its handler' : `an app of ${framework}`;
  const lines = [
    `name: ${quoted(name)},`,
    `script: ${quoted(script)},`,
    ...(http ? [`http: true, // ${what}`] : []),
    '// port: 3000, // without it: as the script says',
    '// workerNum: 4, // without it: the number of cores',
    ...(encryptsBy === '' ? [] : ["// tls: { cert: 'server.crt', key: 'server.key' }, // in place of the app's own"]),
    ...(hasEnvFile ? ["envFile: '.env',"] : []),
    '// tswoole start --env production',
    'environments: {',
    `  production: { env: { NODE_ENV: 'production' }, logFile: ${quoted(`${name.replaceAll(/[^\w.-]/g, '-')}.log`)} },`,
    '},',
  ];
  const inner = lines.map((line) => `  ${line}\n`).join('');
  if (hasTswoole) return `import { defineConfig } from 'tswoole';\n\nexport default defineConfig({\n${inner}});\n`;
  return `/** @type {import('tswoole').Config} */\nexport default {\n${inner}};\n`;
}

function quoted(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}

function stepsFor({ framework, isMissing, hasTswoole, script }: Project): string[] {
  const build =
    framework === 'Next' ? "npm run build, with output: 'standalone' in the config of Next" : 'npm run build';
  return [
    ...(hasTswoole ? [] : ['npm install tswoole']),
    ...(isMissing ? [`${build} (it makes ${script})`] : []),
    'npx tswoole start            in the foreground, until Ctrl+C',
    'npx tswoole start --daemon --env production',
    'npx tswoole status, reload, logs, stop',
  ];
}
