/**
 * Networks for the nodes of a cluster, in which the way from one node to the engine can be cut. Where the system allows it, each
 * node is in a network namespace of its own; elsewhere nodes are on loopback, and a proxy that falls silent stands for the cable.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Where one node runs. */
export interface NodePlace {
  /** For `startServer`. */
  readonly under: readonly string[];
  /** Its address for clients, who reach it while it is cut off from the engine. */
  readonly host: string;
  /** The engine, as this node reaches it. */
  readonly engine: { readonly host: string; readonly port: number };
  /** From here on nothing passes between this node and the engine, and nobody is told. */
  cut(): void;
  heal(): void;
}

export interface ClusterNetwork {
  /** Where the engine is to listen. */
  readonly engineHost: string;
  addNode(enginePort: number): Promise<NodePlace>;
  /** After the servers have ended. */
  close(): void;
}

/** Names of all that belongs to a process of tests begin with it; those of one that is gone are removed. */
const prefixOf = (pid: number): string => `tw${pid}`;
const NAME = /^tw(\d+)[nbec]\d+$/;

function ip(...args: readonly string[]): boolean {
  return spawnSync('ip', args, { stdio: 'ignore' }).status === 0;
}

function mustIp(...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr}`);
}

/** Whether this process may make namespaces, bridges and veth pairs. */
export const hasNamespaces = canMakeNamespaces();

function canMakeNamespaces(): boolean {
  if (process.env['TSWOOLE_TEST_NETWORK'] === 'loopback') return false;
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const name = `${prefixOf(process.pid)}n0`;
  const isAllowed = ip('netns', 'add', name) && ip('-n', name, 'link', 'set', 'lo', 'up') && canMakeBridges();
  ip('netns', 'del', name);
  return isAllowed;
}

function canMakeBridges(): boolean {
  const bridge = `${prefixOf(process.pid)}b0`;
  const isAllowed = ip('link', 'add', bridge, 'type', 'bridge');
  ip('link', 'del', bridge);
  return isAllowed;
}

/** For titles of tests. */
export const networkKind = hasNamespaces ? 'in network namespaces' : 'on loopback, as namespaces are not allowed here';

export function createNetwork(): ClusterNetwork {
  return hasNamespaces ? new NamespaceNetwork() : new LoopbackNetwork();
}

// ——— namespaces ———

/**
 * Two bridges: one with the engine, at 10.N.0.1, and one for clients, at 10.N.1.1. Node K has 10.N.0.K and 10.N.1.K, and a link to
 * each.
 */
class NamespaceNetwork implements ClusterNetwork {
  static #networks = 0;
  readonly #prefix = prefixOf(process.pid);
  readonly #net: string;
  readonly #bridges: readonly string[];
  readonly #nodes: string[] = [];
  readonly #end = (): void => this.close();

  constructor() {
    removeLeftOvers();
    const number = NamespaceNetwork.#networks++;
    this.#net = `10.${64 + ((process.pid + number) % 128)}`;
    this.#bridges = [0, 1].map((side) => `${this.#prefix}b${number * 2 + side}`);
    process.once('exit', this.#end);
    for (const [side, bridge] of this.#bridges.entries()) {
      mustIp('link', 'add', bridge, 'type', 'bridge');
      mustIp('addr', 'add', `${this.#net}.${side}.1/24`, 'dev', bridge);
      mustIp('link', 'set', bridge, 'up');
    }
  }

  get engineHost(): string {
    return `${this.#net}.0.1`;
  }

  async addNode(port: number): Promise<NodePlace> {
    const number = this.#nodes.length + 2;
    const namespace = `${this.#prefix}n${number}`;
    mustIp('netns', 'add', namespace);
    this.#nodes.push(namespace);
    mustIp('-n', namespace, 'link', 'set', 'lo', 'up');
    const [toEngine] = ['e', 'c'].map((letter, side) => this.#link(namespace, letter, side, number));
    return {
      under: ['ip', 'netns', 'exec', namespace],
      host: `${this.#net}.1.${number}`,
      engine: { host: this.engineHost, port },
      cut: () => mustIp('link', 'set', toEngine!, 'down'),
      heal: () => mustIp('link', 'set', toEngine!, 'up'),
    };
  }

  close(): void {
    process.off('exit', this.#end);
    for (const namespace of this.#nodes) ip('netns', 'del', namespace);
    for (const bridge of this.#bridges) ip('link', 'del', bridge);
  }

  /** @returns its end outside the namespace, on the bridge of that side */
  #link(namespace: string, letter: string, side: number, number: number): string {
    const [outside, inside] = [`${this.#prefix}${letter}${number}`, letter];
    mustIp('link', 'add', outside, 'type', 'veth', 'peer', 'name', inside, 'netns', namespace);
    mustIp('link', 'set', outside, 'master', this.#bridges[side]!, 'up');
    mustIp('-n', namespace, 'addr', 'add', `${this.#net}.${side}.${number}/24`, 'dev', inside);
    mustIp('-n', namespace, 'link', 'set', inside, 'up');
    return outside;
  }
}

/** Of test processes that were killed. */
function removeLeftOvers(): void {
  const isLeft = (name: string): boolean => {
    const [, pid] = NAME.exec(name) ?? [];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  };
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  for (const name of namespaces.filter(isLeft)) ip('netns', 'del', name);
  for (const name of readdirSync('/sys/class/net').filter(isLeft)) ip('link', 'del', name);
}

// ——— loopback ———

class LoopbackNetwork implements ClusterNetwork {
  readonly engineHost = '127.0.0.1';
  readonly #proxies: SilencedProxy[] = [];

  async addNode(enginePort: number): Promise<NodePlace> {
    const proxy = new SilencedProxy(enginePort);
    this.#proxies.push(proxy);
    const port = await proxy.listen();
    return {
      ...{ under: [], host: '127.0.0.1', engine: { host: '127.0.0.1', port } },
      cut: () => proxy.cut(),
      heal: () => proxy.heal(),
    };
  }

  close(): void {
    for (const proxy of this.#proxies) proxy.close();
  }
}

/** Passes bytes both ways, until it is cut: then it takes connections and bytes, and passes nothing on. */
class SilencedProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  constructor(port: number) {
    this.#server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1');
      this.#join(client, upstream);
      this.#join(upstream, client);
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as { port: number }).port;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.pause();
  }

  heal(): void {
    this.#isCut = false;
    for (const socket of this.#sockets) socket.resume();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (bytes) => void to.write(bytes));
    from.on('error', () => {});
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    if (this.#isCut) from.pause();
  }
}
