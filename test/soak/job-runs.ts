/** Which kill made a job run again: each run of a job but the first must have one, between it and the run before. */

/** What a run hangs on: the process that computes, the one that renews its lease, and the node with both. */
export type Holder = 'task worker' | 'broker process' | 'node';

/** Times are of one clock of the machine, in ms. */
export interface Kill {
  readonly what: Holder;
  readonly node: string;
  readonly pid: number;
  /** Before the signal was sent, and after it was. */
  readonly from: number;
  readonly to: number;
}

export interface Run {
  readonly node: string;
  /** The task worker. */
  readonly pid: number;
  readonly attempt: number;
  readonly begin: number;
  /** Missing: it did not come to its end. */
  readonly end: number | undefined;
}

export interface Reasons {
  readonly reasons: Record<Holder, number>;
  readonly soonestMs: number;
  readonly faults: string[];
}

export interface Bounds {
  /** Runs that one node has under way. */
  readonly places: number;
  readonly leaseMs: number;
  readonly pace: number;
}

/** From the broker process to the task worker and back: a run begins after its lease, and its end is recorded later. */
const HANDED_OVER_MS = 250;
const MOST_FAULTS = 20;

export function reasonsOf(jobs: ReadonlyMap<string, readonly Run[]>, kills: readonly Kill[], bounds: Bounds): Reasons {
  const found: Reasons = {
    reasons: { 'task worker': 0, 'broker process': 0, node: 0 },
    soonestMs: Infinity,
    faults: [],
  };
  const used = new Map<Kill, number>();
  let { soonestMs } = found;
  for (const [id, runs] of jobs) {
    for (const [i, next] of runs.entries()) {
      const before = runs[i - 1];
      if (before === undefined) continue;
      const kill = kills.find(
        (one) => isReason(one, before, next, bounds) && (used.get(one) ?? 0) < mostOf(one, bounds.places),
      );
      if (kill === undefined) {
        if (found.faults.length < MOST_FAULTS) found.faults.push(historyOf(id, runs, kills));
        continue;
      }
      used.set(kill, (used.get(kill) ?? 0) + 1);
      found.reasons[kill.what]++;
      if (kill.what !== 'task worker') soonestMs = Math.min(soonestMs, Math.round(next.begin - kill.from));
    }
  }
  return { ...found, soonestMs };
}

/** A task worker takes one run with it; a broker process and a node take all that the node has under way. */
function mostOf({ what }: Kill, places: number): number {
  return what === 'task worker' ? 1 : places;
}

/** Whether that kill hit what held the job at `before`, while it held it, and `next` came no sooner than it may. */
function isReason({ what, ...kill }: Kill, before: Run, next: Run, { leaseMs, pace }: Bounds): boolean {
  const handOver = HANDED_OVER_MS * pace;
  const hasIt = what === 'task worker' ? kill.pid === before.pid : kill.node === before.node;
  const until = Math.min(next.begin, (before.end ?? next.begin) + handOver);
  if (!hasIt || kill.to < before.begin - handOver || kill.from > until) return false;
  // A failed attempt is repeated at once. A lease was renewed half of its length ago at most, and has the rest to run.
  return what === 'task worker' || next.begin - kill.from > leaseMs / 3;
}

/** For people: the runs of a job and the kills around them, in ms from its first begin. */
function historyOf(id: string, runs: readonly Run[], kills: readonly Kill[]): string {
  const zero = runs[0]!.begin;
  const at = (time: number): number => Math.round(time - zero);
  const last = runs.at(-1)!.begin;
  const near = kills.filter(({ from, to }) => to > zero - 5000 && from < last + 1000);
  const lines = [
    ...runs.map(({ node, pid, attempt, begin, end }) => ({
      time: begin,
      text: `run ${attempt} on ${node}, pid ${pid}, ${end === undefined ? 'no end' : `end at ${at(end)}`}`,
    })),
    ...near.map(({ what, node, pid, from, to }) => ({
      time: from,
      text: `kill of the ${what} ${pid} of ${node}, until ${at(to)}`,
    })),
  ];
  const sorted = lines.sort((a, b) => a.time - b.time).map(({ time, text }) => `  ${at(time)} ms: ${text}`);
  return `${id} ran again without a reason:\n${sorted.join('\n')}`;
}
