/** Nodes that were not heard of any more, and have not come back since: they may serve on. Runs in the broker process. */
const MOST = 1000;

export class LostNodes {
  readonly #ids = new Set<string>();

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** @param most of them, those lost last */
  latest(most: number): string[] {
    return [...this.#ids].slice(-most);
  }

  isUp(id: string): void {
    this.#ids.delete(id);
  }

  isDown(id: string, why: 'left' | 'lost'): void {
    if (why !== 'lost') return;
    const [oldest] = this.#ids;
    if (this.#ids.size >= MOST && oldest !== undefined) this.#ids.delete(oldest);
    this.#ids.add(id);
  }
}
