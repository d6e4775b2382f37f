/** Passes bytes on to a server, until connections are cut off without a word, as by a firewall: neither end is told. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface SilentProxy {
  readonly port: number;
  /** Those that are there now pass nothing any more; later ones do. */
  cut(): void;
  /** Those that are there now take nothing from the server until `goOn`; what they send still gets there. */
  stall(): void;
  goOn(): void;
  close(): void;
}

export async function silentProxy(port: number): Promise<SilentProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  const server = createServer((client) => {
    const pair = [client, connect(port, '127.0.0.1')] as const;
    pairs.add(pair);
    client.pipe(pair[1]).pipe(client);
    for (const socket of pair) socket.on('error', () => {});
    client.once('close', () => {
      pair[1].destroy();
      pairs.delete(pair);
    });
    pair[1].once('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    cut: () => {
      for (const [client, upstream] of pairs) {
        client.unpipe(upstream);
        upstream.unpipe(client);
        for (const socket of [client, upstream]) socket.resume();
      }
    },
    stall: () => {
      for (const [client, upstream] of pairs) {
        upstream.unpipe(client);
        upstream.pause();
      }
    },
    goOn: () => {
      for (const [client, upstream] of pairs) upstream.pipe(client);
    },
    close: () => {
      for (const pair of pairs) for (const socket of pair) socket.destroy();
      server.close();
    },
  };
}
