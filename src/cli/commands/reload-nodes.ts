/** `tswoole reload --all-nodes`: the server does it; the command shows how far it is. */
import type { ClusterStatus, NodeReload, NodesReload } from '../../control/controlled.js';
import type { Asked } from '../servers.js';
import { duration, print } from '../terminal.js';

const LOOK_MS = 200;

/** @throws CliError with the node that has stopped it, and why */
export async function reloadNodes({ call }: Pick<Asked, 'call'>, timeoutMs: number): Promise<void> {
  const begin = performance.now();
  const shown = new Set<string>();
  const show = (reload: NodesReload | null): void => {
    for (const node of reload?.nodes ?? []) {
      const line = describeStep(node);
      if (line === '' || shown.has(line)) continue;
      shown.add(line);
      print(line);
    }
  };
  const reloading = call<NodesReload>('reload', { allNodes: true }, timeoutMs);
  const ended = reloading.then(
    () => true,
    () => true,
  );
  let isOver: boolean;
  do {
    isOver = await Promise.race([ended, pause()]);
    show((await call<ClusterStatus>('nodes')).reload);
  } while (!isOver);
  const reload = await reloading;
  print(describeEnd(reload, performance.now() - begin));
}

function pause(): Promise<false> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_MS, false));
}

/** Empty: its turn has not come, or the command ends with the reason. */
export function describeStep({ node, state, why }: NodeReload): string {
  if (state === 'waiting' || state === 'failed') return '';
  return `${node}: ${state}${state === 'reloading' ? ' …' : ''}${why === '' ? '' : `, ${why}`}`;
}

export function describeEnd({ nodes }: NodesReload, ms: number): string {
  const number = (wanted: NodeReload['state']): number => nodes.filter(({ state }) => state === wanted).length;
  const [done, skipped] = [number('reloaded'), number('skipped')];
  const left = skipped === 0 ? '' : `; ${skipped} skipped`;
  return `${done} ${done === 1 ? 'node has' : 'nodes have'} new workers, after ${duration(ms)}${left}.`;
}
