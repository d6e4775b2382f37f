import { resolve } from 'node:path';
import type { Command } from 'commander';
import { integerBetween } from '../number.js';
import { summaryOf } from '../profile-summary.js';
import { ask } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { print } from '../terminal.js';

interface Flags extends TargetFlags {
  readonly seconds: number;
  readonly heap?: boolean;
  readonly output?: string;
}

const GRACE_MS = 70_000;

export function addProfile(program: Command): void {
  withTarget(program.command('profile'))
    .summary('where a process spends its time, or what its memory holds')
    .description(
      'A process of the server takes a CPU profile of itself, or with --heap a snapshot of its heap (which stops it meanwhile), and ' +
        "writes it to a file for Chrome's developer tools. Of a CPU profile the functions that took most time are told at once.",
    )
    .argument('<process>', 'the id of a worker or task worker ("1", "worker 1"), "master" or "manager"')
    .argument('[server]', 'its name or pid, where several run')
    .option('--seconds <count>', 'how long', integerBetween(1, 600), 10)
    .option('--heap', 'a snapshot of the heap')
    .option('-o, --output <file>', 'where to write it; that process must be allowed to')
    .action(async (process_: string, server: string | undefined, flags: Flags) => {
      const kind = flags.heap === true ? 'heap' : 'cpu';
      const id = /^(?:(?:worker|task|user)[ -]?)?(\d+)$/.exec(process_)?.[1];
      const target = id === undefined ? process_ : Number(id);
      const file = `${typeof target === 'number' ? `worker-${target}` : target}-${Date.now()}.${kind === 'heap' ? 'heapsnapshot' : 'cpuprofile'}`;
      const path = resolve(flags.output ?? file);
      const given = { target, kind, seconds: flags.seconds, path };
      await ask(choiceOf(flags, server), ({ call }) => call('profile', given, flags.seconds * 1000 + GRACE_MS));
      print(path);
      // To standard error, as the path is what a script wants.
      if (kind === 'cpu') for (const line of summaryOf(path)) process.stderr.write(`${line}\n`);
    });
}
