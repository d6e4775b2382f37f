import type { Command } from 'commander';
import type { NamedWorkerInfo, ServerStatus, Traffic } from '../../control/controlled.js';
import type { WorkerInfo } from '../../control/stats.js';
import { CliError, ExitCode } from '../exit.js';
import { integerBetween } from '../number.js';
import { ask } from '../servers.js';
import { choiceOf, onEach, type TargetFlags, type Targets, targetsOf, withTarget } from '../target.js';
import { bytes, count, duration, latency, paint, print, printJson, table } from '../terminal.js';

const HIGHEST_ID = 2000;

export function addWorkers(program: Command): void {
  withTarget(program.command('workers'))
    .summary('each worker and task worker, and how it does')
    .argument('[servers...]', 'names or pids; without one all apps of the config file')
    .option('--json', 'for programs; of several by their names')
    .action(async (servers: string[], flags: TargetFlags & { json?: boolean }) =>
      showWorkers(await targetsOf(flags, servers), flags.json === true),
    );

  const worker = program.command('worker').summary('one worker');
  withTarget(worker.command('stop'))
    .summary('replace one worker without a gap')
    .argument('<id>', 'see "tswoole workers"', integerBetween(0, HIGHEST_ID))
    .argument('[server]', 'its name or pid, where several run')
    .option('-f, --force', 'kill it: what it has begun is lost')
    .action(async (workerId: number, server: string | undefined, flags: TargetFlags & { force?: boolean }) => {
      const force = flags.force === true;
      const { pid } = await ask(choiceOf(flags, server), ({ call }) =>
        call<{ pid: number }>('stopWorker', { workerId, force }),
      );
      if (pid === 0) return print(`Worker ${workerId} has no process now; another one starts.`);
      print(
        `Process ${pid} of worker ${workerId} ${force ? 'was killed; another one starts' : 'is replaced when another one is ready'}.`,
      );
    });
}

async function showWorkers(targets: Targets, asJson: boolean): Promise<void> {
  const byName: Record<string, NamedWorkerInfo[]> = {};
  await onEach({ ...targets, absent: asJson ? [] : targets.absent }, async ({ name, choice }) => {
    const { workers, unit } = await ask(choice, async ({ call }) => ({
      workers: await call<NamedWorkerInfo[]>('workers'),
      unit: (await call<ServerStatus>('status')).traffic.unit,
    }));
    byName[name] = workers;
    if (asJson) return;
    const table = workerTable(workers, unit);
    print(targets.areSeveral ? `${paint('bold', name)}\n${table}\n` : table);
  });
  if (asJson) printJson(targets.areSeveral ? byName : Object.values(byName)[0]);
}

export function addScale(program: Command): void {
  withTarget(program.command('scale'))
    .summary('more or fewer workers while the server runs')
    .description(
      'Changes the number of workers: to "6", by "+2", by "-1". Connections of workers that go are given to others.',
    )
    .argument('<number>', 'a number, or a difference with its sign')
    .argument('[server]', 'its name or pid, where several run; it may come before the number')
    .action(async (first: string, second: string | undefined, flags: TargetFlags) => {
      const isNumberLast = second !== undefined && !NUMBER.test(first) && NUMBER.test(second);
      const [text, server] = isNumberLast ? [second, first] : [first, second];
      if (!NUMBER.test(text)) {
        throw new CliError(ExitCode.usage, `"${text}" is not a number of workers. Write 6, +2 or -1.`);
      }
      const given = /^[+-]/.test(text) ? { by: Number(text) } : { workerNum: Number(text) };
      const { workerNum } = await ask(choiceOf(flags, server), ({ call }) =>
        call<{ workerNum: number }>('scale', given, SCALE_TIMEOUT_MS),
      );
      print(workerNum === 1 ? 'There is 1 worker.' : `There are ${workerNum} workers.`);
    });
}

const SCALE_TIMEOUT_MS = 120_000;
const NUMBER = /^[+-]?\d{1,4}$/;

/** A worker whose event loop has not turned for this time hangs. */
const HANGS_MS = 1000;

export function stateOf({ state, loopStandsMs }: WorkerInfo): string {
  return loopStandsMs > HANGS_MS ? paint('red', `hangs ${duration(loopStandsMs)}`) : state;
}

export function workerTable(workers: readonly NamedWorkerInfo[], unit: Traffic['unit'] = 'packets'): string {
  const head = [
    'ID',
    'ROLE',
    'PID',
    'STATE',
    'UP',
    'CONN',
    unit.toUpperCase(),
    'P99',
    'MAX',
    'LOOP',
    'MEMORY',
    'RESTARTS',
  ];
  const rows = workers.map((worker) => [
    worker.id,
    worker.role === 'user' ? worker.name : worker.role,
    worker.pid,
    stateOf(worker),
    duration(worker.uptimeMs),
    worker.connections,
    count(worker.requestCount),
    latency(worker.latencyP99),
    latency(worker.latencyMax),
    `${Math.round(worker.loopUtilisation * 100)} %`,
    bytes(worker.residentBytes),
    worker.restarts,
  ]);
  return table(head, rows);
}
