/** The flags of `start`, which a systemd unit repeats. */
import type { Command } from 'commander';
import { addServerOptions, givenOptions } from './option-flags.js';

export interface StartFlags {
  /** Options of the server, by name. */
  readonly options: Readonly<Record<string, string>>;
  readonly nodeArgs: readonly string[];
  /** The script is an app. */
  readonly isApp: boolean;
}

export function addStartFlags(command: Command): void {
  command
    .argument(
      '[script]',
      'a file of JavaScript or TypeScript that makes a Server and calls start(); with --http one that exports an app; or the name of an ' +
        'app of the config file',
    )
    .argument('[arguments...]', 'arguments of the script')
    .option(
      '--node-arg <argument>',
      'an argument of Node; may be repeated. Those that Node knows (--inspect, --import …) can be given as they are',
      (value, all: string[]) => [...all, value],
      [],
    )
    .option(
      '--http',
      'the script is an app of Express, Fastify, Hono, … that exports what answers its requests, or calls listen()',
    )
    .option('--config <file>', 'the config file (default: tswoole.config.* of this folder)')
    .option('--env <name>', 'the environment of the config file that goes over the rest, such as production');
  addServerOptions(command);
}

export function startFlagsOf(values: Readonly<Record<string, unknown>>): StartFlags {
  return {
    options: givenOptions(values),
    nodeArgs: values['nodeArg'] as string[],
    isApp: values['http'] === true,
  };
}
