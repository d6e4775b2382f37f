import type { Command } from 'commander';
import type { App } from '../../config/app.js';
import { type ChosenApps, chosenApps, type FileFlags } from '../chosen-apps.js';
import { tellOfExit } from '../config-file.js';
import { CliError, ExitCode } from '../exit.js';
import { type NamedLaunch, runTogether } from '../foreground.js';
import { become, launchOfApp, launchOfScript, startDaemon } from '../launch.js';
import { serversOf } from '../running-apps.js';
import { addStartFlags, type StartFlags, startFlagsOf } from '../start-flags.js';
import { print } from '../terminal.js';

export function addStart(program: Command): void {
  const command = program
    .command('start')
    .summary('start a server, or the apps of the config file')
    .description(
      'Starts the server of a script, or the apps of tswoole.config.* (docs/config.md): all, or those that are named. A server runs ' +
        'in the foreground, or with --daemon in the background; then the command returns when the server is up, or prints why it is ' +
        'not. Several apps in the foreground end together. Arguments after "--" go to the script.',
    )
    .action((script: string | undefined, args: string[], values: Record<string, unknown>) =>
      start(script === undefined ? [] : [script, ...args], startFlagsOf(values), values as FileFlags),
    );
  addStartFlags(command);
}

/** No process has been started yet. */
function endInOrder(): void {
  process.off('exit', tellOfExit);
  process.exit(ExitCode.ok);
}

const ENDS = ['SIGTERM', 'SIGHUP'] as const;

function endBySignals(): void {
  for (const signal of ENDS) process.once(signal, endInOrder);
}

const OF_PM2 = /(^|\/)ecosystem\.config\.[cm]?js$/;

async function start(words: readonly string[], flags: StartFlags, ofFile: FileFlags): Promise<void> {
  // A config whose loop never ends would block a handler as well. Process 1 has no other end than one.
  const isFirst = process.pid === 1;
  if (isFirst) endBySignals();
  const chosen = await chosenApps(words, ofFile, flags);
  if (!isFirst) endBySignals();
  if (chosen !== undefined) return startApps(chosen, flags);
  const [script = '', ...args] = words;
  if (OF_PM2.test(script)) {
    const why = `${script} is a file of PM2. "tswoole init" writes tswoole.config.js for an app, and docs/migrating/from-pm2.md says what the keys of PM2 are here.`;
    throw new CliError(ExitCode.usage, why);
  }
  return become(launchOfScript(script, args, flags));
}

async function startApps(chosen: ChosenApps, flags: StartFlags): Promise<void> {
  const apps = await withoutRunning(chosen);
  const launches = apps.map((app) => ({ name: app.name, launch: launchOfApp(app, chosen.args, flags, chosen.file) }));
  const [only] = launches;
  if (only === undefined) return;
  if (launches.length === 1 && chosen.apps.length === 1) return become(only.launch);
  // From here on there are processes: a signal that ends this one must not look like success.
  for (const signal of ENDS) process.off(signal, endInOrder);
  const failed = await startDaemons(launches.filter(({ launch }) => launch.isDaemon));
  const others = launches.filter(({ launch }) => !launch.isDaemon);
  if (failed.length > 0) {
    const rest = others.length === 0 ? '' : ` ${namesOf(others)} did not begin.`;
    throw new CliError(ExitCode.failed, `${failed.join(' and ')} did not start: the reason stands above.${rest}`);
  }
  if (others.length === 0) return;
  process.exitCode = await runTogether(others);
}

/** One after another, so that what they print stays together. @returns the names of those that failed */
async function startDaemons(launches: readonly NamedLaunch[]): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, launch } of launches) {
    if ((await startDaemon(launch)) !== 0) failed.push(name);
  }
  return failed;
}

function namesOf(launches: readonly NamedLaunch[]): string {
  return launches.map(({ name }) => name).join(' and ');
}

/** One that runs is left alone; where it was named, that is a failure. */
async function withoutRunning({ file, checked, apps, areNamed }: ChosenApps): Promise<App[]> {
  const rest: App[] = [];
  for (const [index, app] of apps.entries()) {
    const [found] = await serversOf(checked[index]!, file, {});
    if (found === undefined) {
      rest.push(app);
      continue;
    }
    const told = `App ${app.name} runs already, as process ${found.pid}.`;
    if (areNamed) throw new CliError(ExitCode.failed, `${told} "tswoole restart ${app.name}" starts it again.`);
    print(told);
  }
  return rest;
}
