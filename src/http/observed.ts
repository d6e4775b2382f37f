/**
 * A promise that records whether it is awaited, by `await` or `then`. The process does not report it when it is
 * rejected unobserved: its creator checks.
 */
export class ObservedPromise<T> extends Promise<T> {
  isObserved = false;

  /** `then` returns an ordinary promise. */
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
