import { existsSync, realpathSync } from 'node:fs';
import { userInfo } from 'node:os';
import { basename, dirname, extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { CLI_ENTRY } from '../../entries.js';
import { flagOf, type OptionName } from '../../options/index.js';
import { addServerOptions, givenOptions } from '../option-flags.js';
import { commandFor } from '../script.js';
import { print } from '../terminal.js';

interface UnitParts {
  readonly script: string;
  readonly flags: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly user: string;
  readonly node: string;
  readonly main: string;
}

export function addSystemd(program: Command): void {
  const command = program
    .command('systemd')
    .summary('a unit file for systemd')
    .description(
      'Prints a unit file that runs the script as a service: tswoole systemd app.js --port 80 > /etc/systemd/system/app.service. ' +
        'Flags of the server go into it.',
    )
    .argument('<script>', 'the script of the server')
    .argument('[arguments...]', 'arguments of the script')
    .option('--service-user <name>', 'the user of the whole service', userInfo().username)
    .action((given: string, args: string[], values: Record<string, unknown>) => {
      const { script } = commandFor(given);
      const main = realpathSync(fileURLToPath(CLI_ENTRY));
      const user = String(values['serviceUser']);
      print(unitFor({ script, flags: givenOptions(values), args, user, node: process.execPath, main }));
    });
  addServerOptions(command);
}

export function unitFor({ script, flags, args, user, node, main }: UnitParts): string {
  const name = flags['name'] ?? basename(script, extname(script));
  const words = [node, main, 'start', script, ...flagWords(flags), ...(args.length === 0 ? [] : ['--', ...args])];
  const environment = existsSync('/etc/default') ? `\nEnvironmentFile=-/etc/default/${name}` : '';
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
TimeoutStopSec=30
Restart=on-failure
RestartSec=1
WorkingDirectory=${dirname(script)}
User=${user}${environment}
Environment=NODE_ENV=production
LimitNOFILE=1048576
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=full

[Install]
WantedBy=multi-user.target`;
}

/** A daemon would leave systemd alone with a process that has ended. */
function flagWords(flags: Readonly<Record<string, string>>): string[] {
  const { daemonize: _, ...rest } = flags;
  return Object.entries(rest).map(([name, value]) => `--${flagOf(name as OptionName)}=${value}`);
}

/** systemd.service(5): quotes, and % and $ that mean themselves. */
function quoted(word: string): string {
  const plain = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./$-]+$/.test(plain) ? plain : `"${plain.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
