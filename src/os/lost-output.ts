/**
 * What a script prints may find a full disk, or a pipe that nobody reads any more: no reason for a server to fall.
 * Node makes these streams when they are used first, and pipes non-blocking with them, so they are left alone until then.
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
