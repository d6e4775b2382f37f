/** What `server.cluster` needs of the process that it is in. */
import type { DriverState, NodeInfo } from './driver.js';
import type { Answer, ClusterCallbacks, ToBroker } from './messages.js';

export interface ClusterParts {
  /** Its incarnation is known once this process runs. */
  self(): NodeInfo;
  readonly requestTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly ttlMs: number;
  /** An answer that this process has not asked for: its predecessor has. */
  passOn(answer: Answer): void;
  /** False in the master and the manager, which take no messages. */
  mayAsk(): boolean;
  /** While no broker process has told it: without nodes where they are not known. */
  known(): { readonly state: DriverState; readonly nodes: readonly NodeInfo[] };
  /** The broker process has written nothing into shared memory for so long that it is taken to stand still. */
  isSilent(): boolean;
  /** Bytes of one packed publication, where the broker process cannot tell it by a message. */
  maxPayload(): number;
  /** This is the broker process. */
  isBroker(): boolean;
  /** The broker process is a new one, and is being told what it has to know: of jobs too. Missing: there are none. */
  tellsAgain?(): void;
  /** The user's callbacks. */
  readonly callbacks: Partial<ClusterCallbacks> & {
    readonly clusterRequest?: ((data: unknown, from: string) => unknown) | undefined;
  };
  /** @throws ServerError ERR_MESSAGE_QUEUE_FULL, ERR_DATA_NOT_CLONEABLE */
  say(message: ToBroker): void;
  /** A callback of the user has failed. */
  failed(what: string, error: unknown): void;
}
