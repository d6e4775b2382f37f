/** `tswoole reload --all-nodes`: the server does it; the command shows how far it is. */
import type { ClusterStatus, NodeReload, NodesReload } from '../../control/controlled.js';
import type { Asked } from '../servers.js';
import { duration, print } from '../terminal.js';

const LOOK_MS = 200;

/** Which starts of which nodes were in a cluster that has had its round, also in one that has failed. */
export class Rounds {
  readonly #seen = new Set<string>();

  /** @returns the id of the server's node; undefined: its cluster has had no round */
  async had({ call }: Pick<Asked, 'call'>): Promise<string | undefined> {
    if (this.#seen.size === 0) return undefined;
    const { nodes } = await call<ClusterStatus>('nodes');
    return nodes.find((node) => node.self && this.#seen.has(startOf(node)))?.id;
  }

  see(nodes: ClusterStatus['nodes']): void {
    for (const node of nodes) this.#seen.add(startOf(node));
  }
}

/** No two servers have both, of whatever clusters they are. */
const startOf = ({ id, incarnation }: ClusterStatus['nodes'][number]): string => `${id} ${incarnation}`;

/** @throws CliError with the node that has stopped it, and why */
export async function reloadNodes({ call }: Pick<Asked, 'call'>, timeoutMs: number, rounds: Rounds): Promise<void> {
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
    const { reload, nodes } = await call<ClusterStatus>('nodes');
    rounds.see(nodes);
    show(reload);
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
