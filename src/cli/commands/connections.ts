import type { Command } from 'commander';
import type { ConnectionPage } from '../../control/controlled.js';
import { integerBetween } from '../number.js';
import { ask } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { bytes, duration, print, printJson, table } from '../terminal.js';

interface Flags extends TargetFlags {
  readonly json?: boolean;
  readonly worker?: number;
  readonly address?: string;
  readonly port?: number;
  readonly after: number;
  readonly count: number;
}

const MAX_FD = Number.MAX_SAFE_INTEGER;

export function addConnections(program: Command): void {
  withTarget(program.command('connections'))
    .summary('open connections, page by page')
    .argument('[server]', 'name or pid')
    .option('--worker <id>', 'only those of this worker', integerBetween(0, 2000))
    .option('--address <ip>', 'only those of this client address')
    .option('--port <number>', 'only those of this listen port', integerBetween(0, 65_535))
    .option('--after <fd>', 'those behind this one: the next page', integerBetween(0, MAX_FD), 0)
    .option('-n, --count <number>', 'how many', integerBetween(1, 1000), 50)
    .option('--json', 'for programs')
    .action(async (server: string | undefined, flags: Flags) => {
      const { after, count, worker: workerId, address, port } = flags;
      const page = await ask(choiceOf(flags, server), ({ call }) =>
        call<ConnectionPage>('connections', { after, count, workerId, address, port }),
      );
      if (flags.json === true) return printJson(page);
      print(describePage(page));
    });

  withTarget(program.command('close'))
    .summary('close a connection')
    .argument('<fd>', 'see "tswoole connections"', integerBetween(1, MAX_FD))
    .argument('[server]', 'its name or pid, where several run')
    .option('--reset', 'at once, without sending what waits')
    .action(async (fd: number, server: string | undefined, flags: TargetFlags & { reset?: boolean }) => {
      await ask(choiceOf(flags, server), ({ call }) => call('closeConnection', { fd, reset: flags.reset === true }));
      print(`Connection ${fd} is being closed.`);
    });
}

function describePage({ connections, next }: ConnectionPage): string {
  const now = Date.now();
  const rows = connections.map((info) => [
    info.fd,
    info.workerId,
    info.remoteAddress === '' ? 'unix' : `${info.remoteAddress}:${info.remotePort}`,
    info.serverPort,
    duration(now - info.connectedAt),
    bytes(info.receivedBytes),
    info.webSocket ? 'WebSocket' : '',
  ]);
  if (rows.length === 0) return 'No connection fits.';
  const head = ['FD', 'WORKER', 'CLIENT', 'PORT', 'SINCE', 'RECEIVED'];
  const text = table(connections.some(({ webSocket }) => webSocket) ? [...head, 'SPEAKS'] : head, rows);
  return next === 0 ? text : `${text}\nThere may be more: --after ${next}`;
}
