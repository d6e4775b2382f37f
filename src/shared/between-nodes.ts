/** A shared object of which other nodes hear, too: `cluster.share`. */
export interface SharedBetweenNodes {
  readonly kind: 'topic' | 'cache';
  /** The same on every node. */
  readonly name: string;
  /** What another node has sent: the bytes of a message, or of a key. */
  take(bytes: Uint8Array): void;
}
