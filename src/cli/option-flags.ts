/** Every server option that can be given as text is a flag of `tswoole start`, derived from the table of options. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ServerError } from '../errors/index.js';
import { definitions } from '../options/definitions.js';
import { flagOf, isSecret, type OptionName, parseOption, textOptions } from '../options/index.js';
import { CliError, ExitCode } from './exit.js';
import { withNodeArguments } from './node-arguments.js';

/** Flags that people type without reading the docs. */
const shortcuts: Partial<Record<OptionName, string>> = {
  daemonize: '-d, --daemon',
  workerNum: '--workers',
  taskWorkerNum: '--task-workers',
};

export function addServerOptions(command: Command): void {
  for (const name of textOptions) {
    command.addOption(flagFor(name, `--${flagOf(name)}`, firstSentence(definitions[name].help)));
    const shortcut = shortcuts[name];
    if (shortcut !== undefined) command.addOption(flagFor(name, shortcut, `the same as --${flagOf(name)}`));
  }
}

function flagFor(name: OptionName, flag: string, help: string): Option {
  const { type } = definitions[name].kind;
  const value = type.includes('boolean') ? '[value]' : '<value>';
  const option = new Option(`${flag} ${value}`, help).preset('true').argParser((text: string) => checked(name, text));
  option.helpGroup('Options of the server (docs/options.md):');
  return option;
}

/**
 * A flag that needs no value takes the next word only if that is a valid value: in `start --daemon app.js` it is not.
 * @param argv without Node and the program
 */
export function withExplicitValues(argv: readonly string[]): string[] {
  if (argv[0] !== 'start' && argv[0] !== 'systemd') return [...argv];
  const flags = valueless();
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  const words = withNodeArguments(argv.slice(0, end), isServerFlag);
  const explicit = words.map((word, index) => {
    const name = flags.get(word);
    if (name === undefined) return word;
    const next = words[index + 1];
    const long = word === '-d' ? '--daemon' : word;
    return next !== undefined && isValueOf(name, next) ? long : `${long}=true`;
  });
  return [...explicit, ...argv.slice(end)];
}

/** Some server flags have the name of a Node argument. */
function isServerFlag(flag: string): boolean {
  const all = [
    ...textOptions.map((name) => `--${flagOf(name)}`),
    ...Object.values(shortcuts).flatMap((text) => text.split(', ')),
  ];
  return all.includes(flag);
}

function valueless(): Map<string, OptionName> {
  const names = textOptions.filter((name) => definitions[name].kind.type.includes('boolean'));
  const flags = new Map(names.map((name): [string, OptionName] => [`--${flagOf(name)}`, name]));
  return flags.set('-d', 'daemonize').set('--daemon', 'daemonize');
}

/** Any text may be a path, so paths need `=`. */
function isValueOf(name: OptionName, text: string): boolean {
  if (definitions[name].kind.type.includes('string')) return false;
  if (/^[{[]/.test(text)) return true; // no script has such a name, and a malformed object must be reported
  try {
    parseOption(name, text, name);
    return true;
  } catch {
    return false;
  }
}

/** Reports wrong values before any process is started. */
function checked(name: OptionName, text: string): string {
  try {
    parseOption(name, text, `--${flagOf(name)}`);
    return text;
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    // Commander prints an InvalidArgumentError with the argument, which may be secret.
    if (isSecret(name)) throw new CliError(ExitCode.usage, error.message);
    throw new InvalidArgumentError(error.message);
  }
}

/** The flags that were given, by option name. */
export function givenOptions(values: Readonly<Record<string, unknown>>): Record<string, string> {
  const given: Record<string, string> = {};
  for (const name of textOptions) {
    const shortcut = shortcuts[name];
    const value = values[name] ?? (shortcut === undefined ? undefined : values[attributeOf(shortcut)]);
    if (typeof value === 'string') given[name] = value;
  }
  return given;
}

function attributeOf(flag: string): string {
  return new Option(flag).attributeName();
}

function firstSentence(help: string): string {
  const plain = help.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, '$1').replaceAll('`', '');
  return plain.split(/(?<=[.;]) /, 1)[0]?.replace(/[.;]$/, '') ?? plain;
}
