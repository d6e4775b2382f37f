/** Finds the running servers of the apps of a config file. */
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import type { CheckedApp, CheckedConfig } from '../config/app.js';
import { appFor, possibleTexts } from '../config/merge.js';
import type { RunEntry } from '../control/run-dir.js';
import { variableOf } from '../options/index.js';
import { CliError, ExitCode } from './exit.js';
import { type Choice, type Found, runningServers, scriptOf, serverTable } from './running.js';

/** @returns undefined: the choice is no app of the file @throws CliError notRunning, several */
export async function chooseApp(config: CheckedConfig, choice: Choice): Promise<Found | undefined> {
  const { server } = choice;
  const chosen = config.apps.filter(({ name }) => server === undefined || name === server);
  if (chosen.length === 0) return undefined;
  const found = (await Promise.all(chosen.map((app) => serversOf(app, config.file, choice)))).flat();
  const [first, second] = found;
  if (first === undefined) throw server === undefined ? noAppRuns(config, choice) : notRunning(server, choice);
  if (second === undefined) return first;
  const by = server === undefined ? 'its name or its pid' : 'its pid';
  const entries = found.flatMap(({ entry }) => entry ?? []);
  throw new CliError(ExitCode.several, `${found.length} servers run. Name one by ${by}:\n${serverTable(entries)}`);
}

/**
 * The servers of an app: they have its name and its script, because another project may have an app of the same name.
 * One without a control socket is found by its pid file.
 */
export async function serversOf(app: CheckedApp, file: string, choice: Choice): Promise<Found[]> {
  const { cwd, script } = appFor(app, file, '');
  const ofEnvironments = [...app.environments.keys()].map((name) => appFor(app, file, name).script);
  const scripts = new Set([script, ...ofEnvironments].map(realPath));
  const isOurs = (entry: RunEntry): boolean =>
    entry.name === app.name && scripts.has(realPath(resolve(entry.cwd, scriptOf(entry))));
  const found = runDirsOf(app, cwd, choice)
    .flatMap((runDir) => runningServers({ runDir }))
    .filter(isOurs)
    .map((entry) => ({ pid: entry.pid, entry }));
  return found.length > 0 ? found : byPidFileOf(app, cwd);
}

/** As the server chooses: a variable goes before the file. */
function runDirsOf(app: CheckedApp, cwd: string, { runDir }: Choice): (string | undefined)[] {
  const texts = possibleTexts(app, 'runDir').filter((text) => text !== '');
  if (runDir !== undefined || process.env[variableOf('runDir')] !== undefined || texts.length === 0) return [runDir];
  return [undefined, ...texts.map((text) => resolve(cwd, text))];
}

async function byPidFileOf(app: CheckedApp, cwd: string): Promise<Found[]> {
  const files = possibleTexts(app, 'pidFile').filter((text) => text !== '');
  if (files.length === 0) return [];
  const { pidOfHolder } = await import('../control/pid-file.js');
  const pids = files.map((text) => holderOf(resolve(cwd, text), pidOfHolder));
  return pids.filter((pid) => pid > 0).map((pid) => ({ pid, entry: undefined }));
}

/** 0: nobody, or the file cannot be read. */
function holderOf(path: string, pidOfHolder: (path: string) => number): number {
  try {
    return pidOfHolder(path);
  } catch {
    return 0;
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // it has been removed since the start
  }
}

function notRunning(name: string, choice: Choice): CliError {
  const others = runningServers(choice).filter((entry) => entry.name === name);
  const rest =
    others.length === 0
      ? ` Start it with "tswoole start ${name}".`
      : ` A server of this name runs another script; give its pid if you mean that one:\n${serverTable(others)}`;
  return new CliError(ExitCode.notRunning, `App ${name} does not run.${rest}`);
}

export function noAppRuns({ file, apps }: CheckedConfig, choice: Choice): CliError {
  const others = runningServers(choice);
  const rest =
    others.length === 0 ? '' : ` Other servers run; give the name or the pid of one:\n${serverTable(others)}`;
  const names = apps.map(({ name }) => name).join(', ');
  return new CliError(
    ExitCode.notRunning,
    `No app of ${file} runs (${names}). Start them with "tswoole start".${rest}`,
  );
}
