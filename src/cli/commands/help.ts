import type { Command } from 'commander';
import { nearest } from '../../options/index.js';

/** In place of Commander's own, which shows the whole help where there is no such command. */
export function addHelp(group: Command): void {
  group
    .helpCommand(false)
    .command('help')
    .summary('display help for a command')
    .argument('[command...]', 'a command, and a command of it')
    .action((names: string[]) => commandCalled(group, names).help());
}

function commandCalled(group: Command, names: readonly string[]): Command {
  let found = group;
  for (const name of names) {
    const next = found.commands.find((command) => command.name() === name || command.aliases().includes(name));
    if (next === undefined) return refuse(found, name);
    found = next;
  }
  return found;
}

/** In the words of Commander for a command that there is not. */
function refuse(group: Command, name: string): never {
  const visible = group.createHelp().visibleCommands(group);
  const near = nearest(
    name,
    visible.flatMap((command) => [command.name(), ...command.aliases()]),
  );
  return group.error(`error: unknown command '${name}'${near === undefined ? '' : `\n(Did you mean ${near}?)`}`);
}
