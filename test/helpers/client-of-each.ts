interface Asking {
  /** Sends a line and resolves to the line that answers. */
  ask(line: string): Promise<string>;
  close(): Promise<unknown>;
}

const TRIES = 100;

/**
 * Opens clients until each worker has one: on a busy machine a worker of BASE mode that gets no CPU accepts none for a
 * while. The others are closed. @returns by worker id, of a server that answers `who` with the id of the worker first
 */
export async function clientOfEach<C extends Asking>(workers: number, open: () => Promise<C>): Promise<C[]> {
  const found = new Map<number, C>();
  const spare: C[] = [];
  for (let tries = 0; tries < TRIES && found.size < workers; tries++) {
    const client = await open();
    const id = Number.parseInt(await client.ask('who'), 10);
    if (found.has(id)) spare.push(client);
    else found.set(id, client);
  }
  await Promise.all(spare.map((client) => client.close()));
  if (found.size < workers) throw new Error(`only ${found.size} of ${workers} workers have a client`);
  return [...found].sort(([a], [b]) => a - b).map(([, client]) => client);
}
