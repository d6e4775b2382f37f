import { type Command, Option } from 'commander';
import { configIn } from '../config-file.js';
import { runningServers } from '../servers.js';
import { print } from '../terminal.js';

const shells = ['bash', 'zsh', 'fish'] as const;

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .summary('completion for a shell')
    .description(
      'Prints a script for your shell. For good, in ~/.bashrc: eval "$(tswoole completion bash)"; zsh alike; fish: tswoole completion fish | source',
    )
    .argument(`<${shells.join('|')}>`, 'your shell')
    .action((shell: string) => {
      const script = Object.hasOwn(scripts, shell) ? scripts[shell as (typeof shells)[number]] : undefined;
      if (script === undefined)
        program.error(`error: there is completion for ${shells.join(', ')}, and not for ${shell}`);
      print(script);
    });

  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .allowUnknownOption()
    .helpOption(false)
    .action(async (words: string[]) => print(candidates(program, words, await appNames()).join('\n')));
}

/** The shell scripts only ask `tswoole`, which knows the candidates. */
const scripts = {
  bash: `_tswoole() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(tswoole __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _tswoole tswoole`,
  zsh: `_tswoole() {
  local -a found
  found=("\${(@f)$(tswoole __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a found || _files
}
compdef _tswoole tswoole`,
  fish: `complete -c tswoole -f -a '(tswoole __complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
complete -c tswoole -n '__fish_seen_subcommand_from start systemd' -F`,
};

/** Of the config file in this folder. A shell must not see errors of the file: the command itself tells them. */
async function appNames(): Promise<string[]> {
  try {
    return (await configIn(process.cwd()))?.apps.map(({ name }) => name) ?? [];
  } catch {
    return [];
  }
}

/** @param words the words after `tswoole`; the last one is being typed @param apps names of apps of the config file */
export function candidates(program: Command, words: readonly string[], apps: readonly string[] = []): string[] {
  const typed = words.at(-1) ?? '';
  let command = program;
  for (const word of words.slice(0, -1))
    command = command.commands.find((sub) => sub.name() === word || sub.aliases().includes(word)) ?? command;
  if (typed.startsWith('-')) return flagsOf(command).filter((flag) => flag.startsWith(typed));
  const valuesOfFlag = choicesOf(command, words.at(-2), apps);
  if (valuesOfFlag !== undefined) return valuesOfFlag;
  const subcommands = command.commands.map((sub) => sub.name()).filter((name) => !name.startsWith('_'));
  const all = command.name() === 'completion' ? [...shells] : [...subcommands, ...namesFor(command, apps)];
  return [...new Set(all)].filter((name) => name.startsWith(typed));
}

/** Apps can be started, and servers that run be operated. */
function namesFor(command: Command, apps: readonly string[]): string[] {
  const takes = command.registeredArguments.map((argument) => argument.name());
  if (takes.includes('script')) return [...apps];
  return takes.includes('server') || takes.includes('servers') ? [...apps, ...serverNames()] : [];
}

function flagsOf(command: Command): string[] {
  return [...command.options.map((option) => option.long ?? option.short ?? ''), '--help'].filter(
    (flag) => flag !== '',
  );
}

/** The possible values of a flag that takes one: none where it is a file or a number. */
function choicesOf(command: Command, before: string | undefined, apps: readonly string[]): string[] | undefined {
  const option = command.options.find((known) => known.long === before || known.short === before);
  if (!(option instanceof Option)) return undefined;
  if (option.long === '--server') return [...new Set([...apps, ...serverNames()])];
  return option.required ? [] : undefined;
}

function serverNames(): string[] {
  return runningServers({}).map(({ name }) => name);
}
