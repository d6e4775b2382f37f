import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import type { ServerStatus } from '../../control/controlled.js';
import type { ResolvedAdmin } from '../../options/index.js';
import { CliError, ExitCode } from '../exit.js';
import { ask } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { isTerminal, print, printJson } from '../terminal.js';

interface DashboardFlags {
  readonly open: boolean;
  readonly json?: boolean;
}

export function addDashboard(program: Command): void {
  withTarget(program.command('dashboard'))
    .summary('where the dashboard of a server is; opens it in a browser')
    .description('Prints the address, and how to log in. On a desktop it opens the page too.')
    .argument('[server]', 'name or pid')
    .option('--no-open', 'only print')
    .option('--json', 'for programs: {url, login}; opens nothing')
    .action(async (server: string | undefined, { open, json, ...flags }: TargetFlags & DashboardFlags) => {
      const found = await ask(choiceOf(flags, server), async ({ call }) => {
        const { admin: listener, name } = await call<ServerStatus>('status');
        const { admin } = await call<{ admin: ResolvedAdmin | null }>('settings');
        return { listener, name, admin };
      });
      const dashboard = dashboardOf(found);
      if (json === true) return printJson(dashboard);
      print(`${dashboard.url}\n${HOW[dashboard.login]}`);
      const opener = openerFor(process.platform, process.env);
      if (open && isTerminal && opener !== undefined) openBy(opener, dashboard.url);
    });
}

type Login = 'none' | 'token' | 'readToken' | 'either';

const HOW: Readonly<Record<Login, string>> = {
  none: 'No log-in is needed, and nothing can be changed: the option admin has no token.',
  token: 'Log in with the token of the option admin.',
  readToken: 'Log in with the readToken of the option admin: nothing can be changed.',
  either: 'Log in with the token of the option admin; with its readToken nothing can be changed.',
};

interface Found {
  readonly listener: string;
  readonly name: string;
  readonly admin: Pick<ResolvedAdmin, 'dashboard' | 'token' | 'readToken'> | null;
}

/** @throws CliError failed: it is off */
export function dashboardOf({ listener, name, admin }: Found): { readonly url: string; readonly login: Login } {
  if (listener === '' || admin?.dashboard !== true) {
    throw new CliError(
      ExitCode.failed,
      `The dashboard of ${name} is off. Give the server admin: {port: 9100, dashboard: true}, or on the command line --admin '{"port":9100,"dashboard":true}'; docs/dashboard.md.`,
    );
  }
  const url = new URL('/dashboard/', listener);
  // A listener on all addresses is reached by one of them.
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.hostname === '[::]') url.hostname = '[::1]';
  return { url: url.href, login: loginOf(admin) };
}

function loginOf({ token, readToken }: { readonly token: string; readonly readToken: string }): Login {
  if (token !== '' && readToken !== '') return 'either';
  if (token !== '') return 'token';
  return readToken === '' ? 'none' : 'readToken';
}

/** @returns undefined: there is no display on which a browser could open */
export function openerFor(
  platform: NodeJS.Platform,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (platform === 'darwin') return env['SSH_CONNECTION'] === undefined ? 'open' : undefined;
  const hasDisplay = (env['DISPLAY'] ?? '') !== '' || (env['WAYLAND_DISPLAY'] ?? '') !== '';
  return hasDisplay ? 'xdg-open' : undefined;
}

/** Its failure needs no word: the address is printed. */
function openBy(opener: string, url: string): void {
  const child = spawn(opener, [url], { detached: true, stdio: 'ignore' });
  child.on('error', () => {});
  child.unref();
}
