import { existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { App } from '../../config/app.js';
import { CLI_ENTRY } from '../../entries.js';
import { flagOf, type OptionName, variableOf } from '../../options/index.js';
import { nameOfScript } from '../../util/script.js';
import { type ChosenApps, chosenApps, type FileFlags } from '../chosen-apps.js';
import { CliError, ExitCode } from '../exit.js';
import { commandFor } from '../script.js';
import { addStartFlags, flagWords, type StartFlags, secretsAmong, startFlagsOf } from '../start-flags.js';
import { print } from '../terminal.js';

interface UnitParts {
  readonly script: string;
  readonly flags: StartFlags;
  readonly args: readonly string[];
  readonly user: string;
  readonly node: string;
  readonly main: string;
}

interface Flags extends FileFlags {
  readonly serviceUser: string;
  readonly output?: string;
}

export function addSystemd(program: Command): void {
  const command = program
    .command('systemd')
    .summary('a unit file for systemd, or one for each app of the config file')
    .description(
      'Prints a unit file that runs the script, or the app of the config file, as a service: tswoole systemd app.js --port 80 > ' +
        '/etc/systemd/system/app.service. Flags of the server go into it. Without a script: one unit for each app, into --output.',
    )
    .option('--service-user <name>', 'the user of the whole service', userInfo().username)
    .option('-o, --output <folder>', 'write NAME.service files into this folder')
    .action((script: string | undefined, args: string[], values: Record<string, unknown>) =>
      systemd(script === undefined ? [] : [script, ...args], startFlagsOf(values), values as unknown as Flags),
    );
  addStartFlags(command);
}

async function systemd(words: readonly string[], flags: StartFlags, ofUnit: Flags): Promise<void> {
  const chosen = await chosenApps(words, ofUnit, flags);
  const main = realpathSync(fileURLToPath(CLI_ENTRY));
  const common = { user: ofUnit.serviceUser, node: process.execPath, main };
  const units =
    chosen === undefined
      ? [unitOfScript(words, flags, common)]
      : chosen.apps.map((app) => unitOfApp(app, chosen, { flags, env: ofUnit.env ?? '', ...common }));
  put(units, ofUnit.output);
  for (const { name } of units) {
    for (const secret of secretsAmong(flags)) process.stderr.write(adviceFor(secret, name));
  }
  if (ofUnit.serviceUser === ROOT) process.stderr.write(`tswoole: ${AS_ROOT}\n`);
}

const ROOT = 'root';
const AS_ROOT = 'the whole service runs as root, the app too; --service-user NAME names another user.';

interface NamedUnit {
  readonly name: string;
  readonly text: string;
}

type Common = Pick<UnitParts, 'user' | 'node' | 'main'>;

function unitOfScript([given = '', ...args]: readonly string[], flags: StartFlags, common: Common): NamedUnit {
  const { script } = commandFor(given);
  return { name: unitNameFor(flags, script), text: unitFor({ script, flags, args, ...common }) };
}

/** The unit names the file and the app, so a change of the file counts from the next start on. */
function unitOfApp(
  app: App,
  { file, args }: ChosenApps,
  { flags, env, user, node, main }: Common & { readonly flags: StartFlags; readonly env: string },
): NamedUnit {
  const name = unitName(app.name);
  const ofFile = [app.name, `--config=${file}`, ...(env === '' ? [] : [`--env=${env}`]), '--daemonize=false'];
  const ofScript = args.length === 0 ? [] : ['--', ...args];
  const { options } = app;
  return {
    name,
    text: unitText({
      name,
      words: [node, main, 'start', ...ofFile, ...flagWords(flags), ...ofScript],
      ...{ secrets: secretsAmong(flags), user, cwd: app.cwd },
      runDir: flags.options['runDir'] ?? options['runDir'] ?? '',
      maxWaitMs: flags.options['maxWaitMs'] ?? options['maxWaitMs'],
    }),
  };
}

function put(units: readonly NamedUnit[], folder: string | undefined): void {
  if (folder !== undefined) {
    for (const { name, text } of units) {
      const file = resolve(folder, `${name}.service`);
      writeUnit(file, text);
      print(file);
    }
    return;
  }
  const [only, ...others] = units;
  if (only !== undefined && others.length === 0) return print(only.text);
  const names = units.map(({ name }) => name).join(', ');
  throw new CliError(
    ExitCode.usage,
    `The config file has ${units.length} apps (${names}), and each gets a unit of its own. Give --output FOLDER, or name one app.`,
  );
}

function writeUnit(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${text}\n`);
  } catch (error) {
    throw new CliError(ExitCode.failed, `The unit ${file} cannot be written: ${(error as Error).message}.`);
  }
}

export function unitFor({ script, flags, args, user, node, main }: UnitParts): string {
  const words = [node, main, 'start', script, ...flagWords(flags), ...(args.length === 0 ? [] : ['--', ...args])];
  const name = unitNameFor(flags, script);
  const maxWaitMs = flags.options['maxWaitMs'];
  const runDir = flags.options['runDir'] ?? '';
  return unitText({ name, words, secrets: secretsAmong(flags), user, cwd: dirname(script), runDir, maxWaitMs });
}

interface UnitText {
  readonly name: string;
  readonly words: readonly string[];
  readonly secrets: readonly OptionName[];
  readonly user: string;
  readonly cwd: string;
  /** '': the usual one. */
  readonly runDir: string;
  readonly maxWaitMs: string | undefined;
}

function unitText({ name, words, secrets: options, user, cwd, runDir, maxWaitMs }: UnitText): string {
  const secrets = options.map((option) => `\n# ${variableOf(option)} holds a secret: it is to stand there.`);
  const isRead = secrets.length > 0 || existsSync(DEFAULTS);
  const environment = isRead ? `${secrets.join('')}\nEnvironmentFile=-${environmentFile(name)}` : '';
  const stopS = stopSeconds(maxWaitMs);
  return `# Put this into /etc/systemd/system/${name}.service, then: systemctl daemon-reload && systemctl enable --now ${name}
[Unit]
Description=${name}, a tswoole server
Wants=network-online.target
After=network-online.target

[Service]
# The server says itself when it is up, and that it is alive.
Type=notify
NotifyAccess=main
WatchdogSec=30
ExecStart=${words.map(quoted).join(' ')}
# Workers are replaced without closing a connection.
ExecReload=/bin/kill -USR1 $MAINPID
# The master ends its processes in order; what is left after TimeoutStopSec is killed.
KillMode=mixed
TimeoutStopSec=${stopS}
Restart=on-failure
RestartSec=1
WorkingDirectory=${cwd.replaceAll('%', '%%')}
${user === ROOT ? `# ${AS_ROOT[0]?.toUpperCase()}${AS_ROOT.slice(1)}\n` : ''}User=${user}${environment}${runDirectory(name, user, runDir)}
Environment=NODE_ENV=production
LimitNOFILE=1048576
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=full

[Install]
WantedBy=multi-user.target`;
}

/**
 * The usual run directory of a user who has not logged in is among the temporary files, where PrivateTmp hides it. That of
 * root is below /run.
 */
function runDirectory(name: string, user: string, runDir: string): string {
  if (user === ROOT || runDir !== '') return '';
  const folder = `tswoole-${name.replaceAll(':', '-').slice(0, 60)}`;
  return `
# Where commands find the server: sudo -u ${user} tswoole status --run-dir /run/${folder}
RuntimeDirectory=${folder}
RuntimeDirectoryMode=0700
Environment=TSWOOLE_OPTION_RUN_DIR=/run/${folder}`;
}

const DEFAULTS = '/etc/default';

function environmentFile(name: string): string {
  return existsSync(DEFAULTS) ? `${DEFAULTS}/${name}` : `/etc/${name}.env`;
}

function adviceFor(option: OptionName, name: string): string {
  const where = environmentFile(name);
  return `tswoole: --${flagOf(option)} holds a secret, so it is not in the unit, which every user may read. Write ${variableOf(option)}='…' into ${where}, and chmod 600 that file.\n`;
}

/** As the running server is called: apps of one user whose scripts are all `server.js` have units of their own. */
function unitNameFor({ options }: StartFlags, script: string): string {
  return unitName(options['name'] ?? nameOfScript(script));
}

/** Keeps only characters that systemd allows in the name of a unit. */
function unitName(name: string): string {
  return name.replaceAll(/[^\w:.-]/g, '-');
}

const SHORTEST_STOP_S = 30;
/** Time beyond maxWaitMs, in which hanging processes are killed and reaped. */
const STOP_GRACE_S = 10;

function stopSeconds(maxWaitMs: string | undefined): number {
  return Math.max(SHORTEST_STOP_S, Math.ceil(Number(maxWaitMs ?? 0) / 1000) + STOP_GRACE_S);
}

/** systemd.service(5): quotes the word, and escapes % and $. */
function quoted(word: string): string {
  const plain = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  if (/^[\w@%+=:,./$-]+$/.test(plain)) return plain;
  const escaped = plain.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
  return `"${escaped.replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t')}"`;
}
