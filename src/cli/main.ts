/** `tswoole`: the command line. */
import { CommanderError } from 'commander';
import { ServerError } from '../errors/index.js';
import { CliError, ExitCode, messageOf } from './exit.js';
import { withExplicitValues } from './option-flags.js';
import { createProgram } from './program.js';

if (process.platform === 'win32') {
  fail(new ServerError('ERR_PLATFORM', { platform: process.platform, why: 'Windows has no unix process model' }));
} else {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(ExitCode.ok); // "tswoole logs | head"
    throw error;
  });
  run().catch(fail);
}

async function run(): Promise<void> {
  const words = process.argv.slice(2);
  await createProgram(words[0]).parseAsync(withExplicitValues(words), { from: 'user' });
}

function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // Commander has printed the error itself.
    process.exitCode = error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    return;
  }
  const isExpected = error instanceof CliError || error instanceof ServerError;
  const isUnexpected = error instanceof Error && !isExpected;
  process.stderr.write(`tswoole: ${isUnexpected ? error.stack : messageOf(error)}\n`);
  process.exitCode = error instanceof CliError ? error.exitCode : ExitCode.failed;
}
