import type { Command } from 'commander';
import type { ClusterStatus } from '../../control/controlled.js';
import { ask } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { paint, print, printJson, table, visible } from '../terminal.js';

export function addNodes(program: Command): void {
  withTarget(program.command('nodes'))
    .summary('the nodes of the cluster, as this one knows them')
    .argument('[server]', 'name or pid')
    .option('--json', 'for programs')
    .action(async (server: string | undefined, flags: TargetFlags & { json?: boolean }) => {
      const cluster = await ask(choiceOf(flags, server), ({ call }) => call<ClusterStatus>('nodes'));
      if (flags.json === true) printJson(cluster);
      else print(describeNodes(cluster));
    });
}

export function describeNodes(cluster: ClusterStatus): string {
  const rows = cluster.nodes.map(({ self, id, incarnation, address, version }) => [
    self ? '*' : '',
    ...[id, incarnation, address, version].map(visible),
  ]);
  const nodes = table(['', 'NODE', 'INCARNATION', 'ADDRESS', 'VERSION'], rows);
  const lost = cluster.lost.length === 0 ? '' : `Lost, and may serve on: ${cluster.lost.map(visible).join(', ')}\n`;
  return `${nodes}\n${lost}${describeEngine(cluster)}`;
}

/** How the engine is, and what follows where it is not up. */
export function describeEngine({ driver, engine, state, why }: ClusterStatus): string {
  const head = `${driver} ${engine} ${paint(state === 'up' ? 'green' : 'red', state)}`;
  if (state === 'up') return head;
  return `${head}: nodes as last known${why === '' ? '' : `; ${why}`}`;
}
