import type { Command } from 'commander';
import type { Finding } from '../doctor/finding.js';
import { CliError, ExitCode } from '../exit.js';
import { commandFor } from '../script.js';
import { paint, print, printJson } from '../terminal.js';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .summary('what of this machine limits a server, and the mend')
    .description(
      'Looks at limits of the kernel and of the container, and at what the server would use. Ends with code 1 where something should be mended.',
    )
    .argument('[script]', 'packages are looked for from there')
    .option('--json', 'for programs')
    .action(async (script: string | undefined, { json }: { json?: boolean }) => {
      const { examine, thisMachine } = await import('../doctor/examine.js');
      const found = examine(await thisMachine(script === undefined ? undefined : commandFor(script, true).script));
      if (json === true) printJson(found);
      else print(describeFindings(found));
      const faults = found.filter(({ level }) => level === 'mend').length;
      if (faults > 0) throw new CliError(ExitCode.failed, `${faults} to be mended.`);
    });
}

const marks = { ok: paint('green', 'ok  '), note: paint('yellow', 'note'), mend: paint('red', 'mend') };

export function describeFindings(found: readonly Finding[]): string {
  const width = Math.max(...found.map(({ subject }) => subject.length));
  return found
    .map(({ subject, level, says, mend }) => {
      const line = `${marks[level]}  ${subject.padEnd(width)}  ${says}`;
      return mend === '' ? line : `${line}\n${' '.repeat(width + 8)}${mend}`;
    })
    .join('\n');
}
