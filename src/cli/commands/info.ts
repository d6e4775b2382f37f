import { availableParallelism, release, totalmem } from 'node:os';
import type { Command } from 'commander';
import { runDirFor } from '../../control/run-dir.js';
import { currentMachine, resolveOptions } from '../../options/index.js';
import { version } from '../../version.js';
import { runningServers } from '../servers.js';
import { bytes, list, print, printJson } from '../terminal.js';

export function addInfo(program: Command): void {
  program
    .command('info')
    .summary('versions, platform, limits')
    .option('--json', 'for programs')
    .action(async ({ json }: { json?: boolean }) => {
      const all = await readInfo();
      if (json === true) printJson(all);
      else print(list(Object.entries(all).map(([name, value]) => [words(name), String(value)])));
    });
}

async function readInfo() {
  const { descriptorLimit } = currentMachine();
  const { reactorNum, workerNum, maxConnections } = resolveOptions({});
  return {
    tswoole: version,
    node: process.version,
    v8: process.versions.v8,
    openssl: process.versions.openssl,
    platform: `${process.platform} ${process.arch}, kernel ${release()}`,
    cores: availableParallelism(),
    memory: bytes(totalmem()),
    reactorBackend: await backendName(),
    openFilesLimit: Number.isFinite(descriptorLimit) ? descriptorLimit : 'none',
    defaultReactors: reactorNum,
    defaultWorkers: workerNum,
    defaultMaxConnections: maxConnections,
    typeScript:
      typeof Reflect.get(process.features, 'typescript') === 'string'
        ? "Node's own"
        : 'by tsx, where the project has it',
    runDirectory: runDirFor(process.env['TSWOOLE_OPTION_RUN_DIR'] ?? ''),
    runningServers: runningServers({}).length,
  };
}

async function backendName(): Promise<string> {
  const { createPoller } = await import('../../os/create-poller.js');
  const poller = createPoller('auto', { ready: () => {}, turnEnd: () => {} } as never);
  poller.close();
  return poller.levelTriggered ? 'poll' : 'epoll';
}

/** `reactorBackend` → `reactor backend`. */
function words(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
