/**
 * What the broker process and its master have to say to each other: how this node is in its cluster, and reloads of nodes, of
 * which the master knows the end and the engine the way. Runs in the broker process.
 */
import { ServerError, serializeError } from '../../errors/index.js';
import type { ClusterRecord } from '../../memory/cluster-record.js';
import type { FromMaster, PresentChange, PresentPage, ToMaster } from '../messages.js';
import { Questions } from '../questions.js';
import type { Broker } from './broker.js';
import { packValue } from './node-messages.js';
import type { PresentMaster } from './present.js';
import { Reporter } from './reporter.js';

export interface MasterLinkParts {
  readonly self: string;
  readonly record: ClusterRecord;
  tell(message: ToMaster): void;
  /** How long the master may take to replace all workers. */
  readonly reloadTimeoutMs: number;
}

/** Of other nodes, at once: the master makes one reload of those that come together. */
const MOST_RELOADS = 100;
/** For each page: this node joins without what a master does not tell. */
const PRESENT_MS = 1500;

export class MasterLink implements PresentMaster {
  readonly #broker: Broker;
  readonly #parts: MasterLinkParts;
  readonly #reporter: Reporter;
  readonly #questions = new Questions(MOST_RELOADS);

  constructor(broker: Broker, parts: MasterLinkParts) {
    this.#broker = broker;
    this.#parts = parts;
    this.#reporter = new Reporter(broker, parts);
  }

  /** The state or the nodes have changed. */
  changed(): void {
    this.#reporter.report();
  }

  /** The start of the server waits for it. @param refused the id of this node belongs to another server */
  tried(refused?: ServerError): void {
    this.#reporter.report(); // by then the master knows why it has not joined
    this.#parts.tell({ say: 'tried', ...(refused !== undefined && { refused: serializeError(refused) }) });
  }

  /** @returns false: it is none of the master's */
  onMessage(message: { readonly say: string }): boolean {
    if (!isOfMaster(message)) return false;
    if (message.say === 'reloadNode') void this.#reloadNode(message);
    else this.#questions.answered(message.answer);
    return true;
  }

  /** Resolves when all workers of this node are new. @throws ServerError ERR_RELOAD, ERR_CLUSTER_TIMEOUT */
  async reloadHere(): Promise<void> {
    const { self, tell, reloadTimeoutMs } = this.#parts;
    await this.#questions.ask(self, reloadTimeoutMs, (id) => tell({ say: 'reload', id }));
  }

  tellPresent(changes: readonly PresentChange[]): void {
    this.#parts.tell({ say: 'presentChanges', changes });
  }

  async presentBefore(page: number): Promise<PresentPage> {
    const { self, tell } = this.#parts;
    return (await this.#questions.ask(self, PRESENT_MS, (id) =>
      tell({ say: 'presentBefore', id, page }),
    )) as PresentPage;
  }

  /** This node leaves: another one that waits for its reload is told so. */
  close(): void {
    this.#reporter.close();
    this.#questions.failAll(new ServerError('ERR_SHUTTING_DOWN', {}));
  }

  async #reloadNode({ id, node, timeoutMs }: Extract<FromMaster, { say: 'reloadNode' }>): Promise<void> {
    const { driver } = this.#broker;
    const { tell } = this.#parts;
    try {
      const isThere = driver.nodes().some((each) => each.id === node);
      // It may serve on with its old workers, so it is not skipped like one that has left.
      if (!isThere && this.#broker.lostNodes.has(node)) throw new ServerError('ERR_NODE_LOST', { node });
      if (isThere) await driver.request(node, packValue({ ask: 'reload' }), { timeoutMs });
      tell({ say: 'answer', id, value: isThere });
    } catch (error) {
      tell({ say: 'failed', id, error: serializeError(error) });
    }
  }
}

function isOfMaster(message: { readonly say: string }): message is FromMaster {
  return message.say === 'reloadNode' || message.say === 'ofMaster';
}
