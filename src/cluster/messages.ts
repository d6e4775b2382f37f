/**
 * What processes of one node and its broker process say to each other: messages between processes, marked as the server's
 * own. Values are copied by structured clone.
 */
import type { SerializedError } from '../errors/index.js';
import type { DriverState, NodeInfo } from './driver.js';
import type { JobCounts, JobInfo, JobPage, JobQueue, JobSchedule, WorkOptions } from './jobs/queue.js';

/** Answers a question by its number. */
export type Answer =
  | { readonly say: 'answer'; readonly id: number; readonly value?: unknown }
  | { readonly say: 'failed'; readonly id: number; readonly error: SerializedError };

/** What a process may ask. */
export type Question =
  | { readonly ask: 'request'; readonly node: string; readonly data: unknown; readonly timeoutMs: number }
  /** A call on a connection of another node. */
  | { readonly ask: 'connection'; readonly node: string; readonly call: ConnectionCall }
  | { readonly ask: 'members'; readonly room: string }
  | { readonly ask: 'presence'; readonly key: string }
  | { readonly ask: 'jobs'; readonly call: JobCall };

type JobMethod =
  | 'enqueue'
  | 'enqueueMany'
  | 'schedule'
  | 'unschedule'
  | 'schedules'
  | 'find'
  | 'dead'
  | 'retry'
  | 'remove'
  | 'removeDead'
  | 'counts';
/** A call of the queue of durable jobs. */
export type JobCall = {
  [M in JobMethod]: { readonly method: M; readonly args: Parameters<JobQueue[M]> };
}[JobMethod];

/** The durable jobs of one name, over all nodes. */
export interface NamedCounts extends JobCounts {
  readonly name: string;
  /** This node takes jobs of that name. */
  readonly isWorked: boolean;
}

/** A job that failed for the last time, as an operator sees it: long texts are cut. */
export interface DeadJob extends Omit<JobInfo, 'state' | 'data'> {
  /** Missing: its JSON is long. */
  readonly data?: unknown;
  /** The beginning of the JSON of such data. */
  readonly dataStart?: string;
}

/** A job as an operator asks for it by its id: texts are cut where they are very long. */
export interface ShownJob extends Omit<JobInfo, 'data' | 'result'> {
  /** Missing: its JSON is long. */
  readonly data?: unknown;
  /** The beginning of the JSON of such data. */
  readonly dataStart?: string;
  /** Missing: it has none, or its JSON is long. */
  readonly result?: unknown;
  /** The beginning of the JSON of such a result. */
  readonly resultStart?: string;
}

/** A schedule as an operator sees it: long texts are cut, also a rule. */
export interface ShownSchedule extends Omit<JobSchedule, 'data'> {
  /** Missing: its JSON is long. */
  readonly data?: unknown;
  /** The beginning of the JSON of such data. */
  readonly dataStart?: string;
}

/** A handler that a task worker has for jobs of that name. */
export interface OfferedWork extends Partial<WorkOptions> {
  readonly name: string;
}

/** A method of the server, on the node that has the connection. */
export interface ConnectionCall {
  /** Of the start of the node that had it. */
  readonly incarnation: string;
  readonly fd: number;
  readonly method: 'send' | 'close' | 'getClientInfo';
  readonly data?: string | Uint8Array;
  readonly reset?: boolean;
}

/** A member of presence, as a process has put it. */
export interface PresentMember {
  readonly key: string;
  readonly member: string;
  /** JSON. */
  readonly meta: unknown;
  readonly ttlMs: number;
}

/** `keeper`: id of the process that puts it again for a new broker process. */
export type KeptMember = PresentMember & { readonly keeper: number };

/** Without a keeper: it is not present any more. */
export type PresentChange = KeptMember | Pick<PresentMember, 'key' | 'member'>;

/** Of the master's copy. */
export interface PresentPage {
  readonly members: readonly KeptMember[];
  /** Number of the page behind it; 0: this is the last one. */
  readonly next: number;
}

export type ToBroker =
  /** This process reads its messages now, and subscribes to these. */
  | {
      readonly say: 'hello';
      readonly subjects: readonly string[];
      readonly pid?: number;
      /** It has got already what its predecessor had put into presence: it wants no `keep`. */
      readonly hasAll?: boolean;
    }
  | { readonly say: 'subscribe' | 'unsubscribe'; readonly subject: string }
  /** `data` as `clonedBytes` packs it. */
  | { readonly say: 'publish'; readonly subject: string; readonly data: Uint8Array }
  /** A connection of this node joins that room. */
  | { readonly say: 'joined'; readonly room: string }
  | { readonly say: 'room'; readonly room: string; readonly data: string | Uint8Array }
  /** Publications that could not be said: how many since this was last said, and of what; the empty subject stands for all. */
  | { readonly say: 'notTaken'; readonly subjects: readonly string[]; readonly publications: number }
  | ({ readonly say: 'present' } & PresentMember)
  /** To a new broker process: what this process has put. `isAll`: with the messages before, and its predecessors had no more. */
  | { readonly say: 'presentAgain'; readonly members: readonly PresentMember[]; readonly isAll?: boolean }
  | { readonly say: 'absent'; readonly key: string; readonly member: string }
  /** Of a task worker: it has these handlers now. */
  | { readonly say: 'works'; readonly offers: readonly OfferedWork[] }
  | { readonly say: 'ask'; readonly id: number; readonly question: Question }
  | Answer;

/** How this node is in its cluster, at each change. */
export interface NodesReport {
  readonly say: 'nodes';
  /** Node id. */
  readonly self: string;
  readonly nodes: readonly NodeInfo[];
  /** Why this node is not in its cluster; empty: nothing is known. */
  readonly why: string;
  /** Ids of nodes that are not heard of any more and did not leave: they may serve on. */
  readonly lost: readonly string[];
  /** As last counted; empty also while the engine does not answer. */
  readonly queues: readonly NamedCounts[];
  /** Why the engine of jobs does not answer, so that none run; empty: it does, or there are no jobs. */
  readonly jobsWhy: string;
}

/** What the broker process says to its master, by the manager, as JSON. */
export type ToMaster =
  | NodesReport
  /** The first attempt to join has ended. `refused`: the node id is another living server's, and this one must not start. */
  | { readonly say: 'tried'; readonly refused?: SerializedError }
  /** Another node asks that this one replaces its workers. */
  | { readonly say: 'reload'; readonly id: number }
  /** For its copy of what is present: all other copies end with the manager, which ends all its processes. */
  | { readonly say: 'presentChanges'; readonly changes: readonly PresentChange[] }
  /** A new broker process asks for a page of that copy, as it is when the first one is asked for. Answered by a `PresentPage`. */
  | { readonly say: 'presentBefore'; readonly id: number; readonly page: number }
  /** To `reloadNode`, and to what operators want of jobs. */
  | Answer;

export type FromMaster =
  /** That node is to replace its workers. The answer is false when it is not in the cluster any more, or leaves it. */
  | { readonly say: 'reloadNode'; readonly id: number; readonly node: string; readonly timeoutMs: number }
  /** An operator wants the counts of now: `NamedCounts[]`. */
  | { readonly say: 'countJobs'; readonly id: number }
  /** An operator wants to see a job: `ShownJob`; undefined where there is none. */
  | { readonly say: 'findJob'; readonly id: number; readonly job: string }
  /** An operator wants a page of dead jobs, `DeadJob[]`: a short one, for it becomes one control message of 1 MiB at most. */
  | { readonly say: 'deadJobs'; readonly id: number; readonly name: string; readonly page: JobPage }
  /** An operator wants a dead job to run again. */
  | { readonly say: 'retryJob'; readonly id: number; readonly job: string }
  /** An operator wants a page of the schedules of a name, `ShownSchedule[]`: a short one, as of dead jobs. */
  | { readonly say: 'jobSchedules'; readonly id: number; readonly name: string; readonly page: JobPage }
  /** An operator wants a schedule ended. The answer: whether there was one. */
  | { readonly say: 'unschedule'; readonly id: number; readonly name: string; readonly key: string }
  /** An operator wants a job gone. The answer: whether there was one. */
  | { readonly say: 'removeJob'; readonly id: number; readonly job: string }
  /** An operator wants dead jobs of a name gone, as many as one call removes. The answer: how many there were. */
  | { readonly say: 'removeDeadJobs'; readonly id: number; readonly name: string }
  /** To `reload` and `presentBefore`. */
  | { readonly say: 'ofMaster'; readonly answer: Answer };

/** Events of the cluster, as the user's callbacks get them. */
export interface ClusterCallbacks {
  nodeUp(node: NodeInfo): void;
  nodeDown(nodeId: string, why: 'left' | 'lost'): void;
  clusterState(state: DriverState): void;
  /** @param subject a room, or what `cluster.subscribe` has got */
  clusterGap(subject: string): void;
}

export type ClusterEvent = {
  [K in keyof ClusterCallbacks]: { readonly event: K; readonly args: Parameters<ClusterCallbacks[K]> };
}[keyof ClusterCallbacks];

export type FromBroker =
  | {
      readonly say: 'now';
      readonly state: DriverState;
      readonly nodes: readonly NodeInfo[];
      /** Bytes that a user may send at once, packed; while the engine is lost, as last known. */
      readonly maxPayload: number;
      /** Pid of the process whose `hello` this answers: all of its `keep` have come. */
      readonly answers?: number | undefined;
    }
  | ({ readonly say: 'event' } & ClusterEvent)
  | { readonly say: 'published'; readonly subject: string; readonly data: unknown; readonly from: string }
  /** Another node asks by `request`: one worker answers. */
  | { readonly say: 'asked'; readonly id: number; readonly data: unknown; readonly from: string }
  /** Before the answer to a `hello`: what the process before with this id had put into presence. */
  | { readonly say: 'keep'; readonly members: readonly PresentMember[] }
  /** Another process has put or dropped that member. */
  | { readonly say: 'forget'; readonly key: string; readonly member: string }
  /** The broker process has started again: say hello, and what is present. */
  | { readonly say: 'restarted' }
  | Answer;
