import { parseArgs } from 'node:util';
import { managers, templates } from './templates.mjs';

export const USAGE = `Usage: npm create tswoole [FOLDER] [-- OPTIONS]

  --template NAME   ${Object.keys(templates).join(', ')}
  --js              JavaScript in place of TypeScript
  --pm NAME         ${Object.keys(managers).join(', ')} (default: the one that runs this)
  --no-install      write files only
  --no-git          make no git repository
  --force           write into a folder that has files
  --yes             ask nothing, take defaults
  --help, --version`;

/** What was wrong with what a person gave; its sentence is all they need to read. */
export class UsageError extends Error {}

const OPTIONS = {
  template: { type: 'string', short: 't' },
  js: { type: 'boolean' },
  ts: { type: 'boolean' },
  pm: { type: 'string' },
  install: { type: 'boolean' },
  git: { type: 'boolean' },
  force: { type: 'boolean' },
  yes: { type: 'boolean', short: 'y' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
};
const NEGATED = { 'no-install': { type: 'boolean' }, 'no-git': { type: 'boolean' } };

/** @returns what was given; what was not is undefined @throws UsageError */
export function readArguments(args) {
  const { values, positionals } = parse(args);
  if (positionals.length > 1) throw new UsageError(`One folder is expected, and ${positionals.join(', ')} came.`);
  if (values.js && values.ts) throw new UsageError('Either --js or --ts is expected, and both came.');
  oneOf('template', values.template, Object.keys(templates));
  oneOf('pm', values.pm, Object.keys(managers));
  return {
    ...values,
    folder: positionals[0],
    install: values['no-install'] ? false : values.install,
    git: values['no-git'] ? false : values.git,
  };
}

function parse(args) {
  try {
    return parseArgs({ args, options: { ...OPTIONS, ...NEGATED }, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${error.message}. --help lists the options.`);
  }
}

function oneOf(option, value, names) {
  if (value === undefined || names.includes(value)) return;
  throw new UsageError(`--${option} takes one of ${names.join(', ')}, and ${JSON.stringify(value)} came.`);
}

/** @returns what is wrong with a name of a package, or '' */
export function wrongName(name) {
  if (name.length > 0 && name.length <= 214 && /^(@[a-z0-9-][a-z0-9-._]*\/)?[a-z0-9][a-z0-9-._]*$/.test(name)) {
    return name === 'node_modules' || name === 'favicon.ico' || name === 'tswoole' ? `${name} is taken.` : '';
  }
  return `A name has small letters, digits, - . and _, and begins with a letter or digit, and at most 214 of them; ${JSON.stringify(name)} came.`;
}

/** The package manager that runs this, as it says of itself. */
export function managerOf(env) {
  const name = (env.npm_config_user_agent ?? '').split('/')[0];
  return Object.hasOwn(managers, name) ? name : 'npm';
}
