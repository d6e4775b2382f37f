import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { managerOf, readArguments, USAGE, UsageError, wrongName } from './arguments.mjs';
import { generate } from './generate.mjs';
import { managers, templates } from './templates.mjs';

/** @returns the exit code: 0 done, 1 something failed, 2 wrong arguments */
export async function main(args, world = { input: process.stdin, output: process.stdout, env: process.env }) {
  try {
    const given = readArguments(args);
    if (given.help) return say(world, USAGE);
    if (given.version) return say(world, versionOf());
    const project = await complete(given, world);
    refuseWrong(project);
    generate(project);
    return finish(project, world);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`create-tswoole: ${error.message}\n`);
    return 2;
  }
}

function versionOf() {
  return JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;
}

function say({ output }, text) {
  output.write(`${text}\n`);
  return 0;
}

/** Asks for what is missing where a terminal is there, and takes defaults otherwise. */
async function complete(given, world) {
  const isAsked = Boolean(world.input.isTTY && world.output.isTTY && !given.yes);
  const terminal = isAsked ? createInterface({ input: world.input, output: world.output }) : undefined;
  const ask = async (question, usual) => (await terminal?.question(`${question} (${usual}) `))?.trim() || usual;
  try {
    const path = given.folder ?? (await ask('Folder of the project?', 'my-app'));
    const template = given.template ?? (await askTemplate(ask, world));
    const language = given.js ? 'js' : given.ts ? 'ts' : await ask('TypeScript or JavaScript, ts or js?', 'ts');
    const folder = resolve(path);
    return {
      folder,
      name: basename(folder),
      template,
      js: isJavaScript(language),
      pm: given.pm ?? managerOf(world.env),
      install: given.install ?? true,
      git: given.git ?? true,
      force: given.force ?? false,
    };
  } finally {
    terminal?.close();
  }
}

function isJavaScript(language) {
  if (/^j/i.test(language)) return true;
  if (/^t/i.test(language)) return false;
  throw new UsageError(`ts or js is expected, and ${JSON.stringify(language)} came.`);
}

async function askTemplate(ask, world) {
  if (world.input.isTTY) {
    say(
      world,
      Object.entries(templates)
        .map(([name, { about }]) => `  ${name.padEnd(16)}${about}`)
        .join('\n'),
    );
  }
  const template = await ask('Which template?', 'http');
  if (Object.hasOwn(templates, template)) return template;
  throw new UsageError(`There is no template ${JSON.stringify(template)}: ${Object.keys(templates).join(', ')}.`);
}

function refuseWrong({ folder, name, force }) {
  const wrong = wrongName(name);
  if (wrong !== '') throw new UsageError(wrong);
  if (lstatSync(folder, { throwIfNoEntry: false }) === undefined) return;
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found === undefined) throw new UsageError(`${folder} is a link to what is not there; a folder is expected.`);
  if (!found.isDirectory()) throw new UsageError(`${folder} is a file; a folder is expected.`);
  const files = readdirSync(folder).filter((file) => file !== '.git');
  if (files.length === 0 || force) return;
  throw new UsageError(`${folder} is not empty. Give another folder, or --force to write over what is there.`);
}

function finish(project, world) {
  const { folder, pm, install, git, template } = project;
  // A project inside of a repository belongs to that one.
  if (git && run('git', ['rev-parse', '--is-inside-work-tree'], folder, 'ignore') !== 0) {
    if (run('git', ['init', '--quiet'], folder, 'ignore') !== 0) say(world, 'git did not run: no repository was made.');
  }
  const installed = install && run(pm, ['install'], folder, 'inherit') === 0;
  if (install && !installed) process.stderr.write(`create-tswoole: ${pm} install failed in ${folder}; run it again.\n`);
  const here = relative(process.cwd(), folder);
  const steps = [
    ...(here === '' ? [] : [`cd ${here}`]),
    ...(installed ? [] : [`${pm} install`]),
    `${managers[pm].run} dev     # starts the server, and reloads it when a file changes`,
    templates[template].next,
    `${managers[pm].run} test`,
  ];
  say(world, `\n${join(folder)} is ready. Next:\n\n${steps.map((step) => `  ${step}`).join('\n')}\n`);
  return install && !installed ? 1 : 0;
}

function run(command, args, cwd, stdio) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: stdio === 'inherit' ? 'inherit' : 'ignore' });
  return error === undefined ? status : 1;
}
