/**
 * The other nodes that a process has told its user of: each is told as up once, and as down once, also where the broker process
 * that tells of them is another one meanwhile. Runs in every process.
 */
import type { NodeInfo } from './driver.js';
import type { ClusterEvent } from './messages.js';

export class ToldNodes {
  /** Incarnations by id. */
  readonly #up = new Map<string, string>();
  #isFirst = true;
  #hasMissed = false;

  /** The broker process is a new one: what happened before it joins, it does not tell. */
  restarted(): void {
    this.#hasMissed = true;
  }

  /** All nodes there are now, as a broker process that has joined knows them. @returns those that are not there any more */
  all(nodes: readonly NodeInfo[], isJoined: boolean): string[] {
    if (this.#isFirst) for (const { id, incarnation } of nodes) this.#up.set(id, incarnation);
    this.#isFirst = false;
    if (!this.#hasMissed || !isJoined) return [];
    this.#hasMissed = false;
    const gone = [...this.#up.keys()].filter((id) => !nodes.some((node) => node.id === id));
    for (const id of gone) this.#up.delete(id);
    return gone;
  }

  /** @returns false: the user knows it */
  isNews(event: ClusterEvent): boolean {
    if (event.event === 'nodeDown') this.#up.delete(event.args[0]);
    if (event.event !== 'nodeUp') return true;
    const [{ id, incarnation }] = event.args;
    if (this.#up.get(id) === incarnation) return false;
    this.#up.set(id, incarnation);
    return true;
  }
}
