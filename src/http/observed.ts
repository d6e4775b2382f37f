/**
 * A promise that knows whether somebody waits for it: `await` and `then` say so. Nobody is told by the process when it is
 * rejected unobserved: whoever made it looks.
 */
export class ObservedPromise<T> extends Promise<T> {
  isObserved = false;

  /** What comes out of `then` is an ordinary promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  constructor(executor: ConstructorParameters<typeof Promise<T>>[0]) {
    super(executor);
    super.then(undefined, () => {});
  }

  // biome-ignore lint/suspicious/noThenProperty: that it is called is what there is to know
  override then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.isObserved = true;
    return super.then(fulfilled, rejected);
  }
}
