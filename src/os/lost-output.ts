/**
 * A script may print to a full disk, or to a pipe without a reader: that must not end the server. Node creates these
 * streams on first use, and makes pipes non-blocking then, so they are left alone until that moment.
 */
export function ignoreLostOutput(): void {
  for (const name of ['stdout', 'stderr'] as const) {
    const property = Object.getOwnPropertyDescriptor(process, name);
    if (property?.get === undefined || property.configurable !== true) continue;
    const { get } = property;
    Object.defineProperty(process, name, {
      ...property,
      get: () => {
        Object.defineProperty(process, name, property);
        const stream = get.call(process) as NodeJS.WriteStream;
        stream.on('error', () => {});
        return stream;
      },
    });
  }
}
