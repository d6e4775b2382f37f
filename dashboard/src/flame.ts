/** A CPU profile as a flame graph: which frame lies where. */

export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly children?: readonly number[];
  }[];
  readonly samples?: readonly number[];
  readonly timeDeltas?: readonly number[];
}

export interface Frame {
  readonly name: string;
  /** File and line. */
  readonly place: string;
  /** 0 is the bottom. */
  readonly depth: number;
  /** Share of all samples to the left of it, and of its own: 0 to 1. */
  readonly from: number;
  readonly width: number;
  /** Spent in it and below, and in itself, in µs. */
  readonly totalUs: number;
  readonly selfUs: number;
}

interface Tree {
  readonly name: string;
  readonly place: string;
  selfUs: number;
  totalUs: number;
  readonly children: Map<string, Tree>;
}

/** Shares are sums of fractions. */
const TINY = 1e-9;
const LEFT_OUT = new Set(['(idle)', '(program)']);

/** @returns frames from the bottom up, the widest first on each level; empty if nothing ran */
export function layOut(profile: CpuProfile): Frame[] {
  const root = growTree(profile);
  addUp(root);
  const frames: Frame[] = [];
  if (root.totalUs > 0) place(root, { frames, allUs: root.totalUs, depth: 0, from: 0 });
  return frames;
}

function growTree({ nodes, samples = [], timeDeltas = [] }: CpuProfile): Tree {
  const spent = new Map<number, number>();
  for (const [index, id] of samples.entries())
    spent.set(id, (spent.get(id) ?? 0) + Math.max(0, timeDeltas[index] ?? 0));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const root: Tree = { name: 'all', place: '', selfUs: 0, totalUs: 0, children: new Map() };
  const first = nodes[0];
  const rest: [id: number, parent: Tree][] = (first?.children ?? []).map((id) => [id, root]);
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    const [id, parent] = next;
    const node = byId.get(id);
    if (node === undefined) continue;
    const { functionName, url, lineNumber } = node.callFrame;
    if (LEFT_OUT.has(functionName)) continue;
    const name = functionName === '' ? '(anonymous)' : functionName;
    const where = url === '' ? '' : `${url.replace(/^file:\/\//, '')}:${lineNumber + 1}`;
    const key = `${name} ${where}`;
    const found = parent.children.get(key) ?? { name, place: where, selfUs: 0, totalUs: 0, children: new Map() };
    parent.children.set(key, found);
    found.selfUs += spent.get(id) ?? 0;
    for (const child of node.children ?? []) rest.push([child, found]);
  }
  return root;
}

function addUp(tree: Tree): number {
  tree.totalUs = tree.selfUs;
  for (const child of tree.children.values()) tree.totalUs += addUp(child);
  return tree.totalUs;
}

interface Place {
  readonly frames: Frame[];
  readonly allUs: number;
  readonly depth: number;
  readonly from: number;
}

function place(tree: Tree, { frames, allUs, depth, from }: Place): void {
  const { name, place: where, totalUs, selfUs } = tree;
  frames.push({ name, place: where, depth, from, width: totalUs / allUs, totalUs, selfUs });
  let left = from;
  for (const child of [...tree.children.values()].sort((a, b) => b.totalUs - a.totalUs)) {
    if (child.totalUs === 0) continue;
    place(child, { frames, allUs, depth: depth + 1, from: left });
    left += child.totalUs / allUs;
  }
}

/** @returns the frame an arrow key leads to; the same one where there is none */
export function neighbour(frames: readonly Frame[], from: Frame, key: string): Frame {
  const reaches = (inner: Frame, outer: Frame): boolean =>
    inner.from >= outer.from - TINY && inner.from + inner.width <= outer.from + outer.width + TINY;
  const on = (depth: number): Frame[] =>
    frames.filter((frame) => frame.depth === depth).sort((a, b) => a.from - b.from);
  switch (key) {
    case 'ArrowUp':
      return on(from.depth - 1).find((frame) => reaches(from, frame)) ?? from;
    case 'ArrowDown':
      return (
        on(from.depth + 1)
          .filter((frame) => reaches(frame, from))
          .sort((a, b) => b.width - a.width)[0] ?? from
      );
    case 'ArrowLeft':
      return on(from.depth).findLast((frame) => frame.from < from.from) ?? from;
    case 'ArrowRight':
      return on(from.depth).find((frame) => frame.from > from.from) ?? from;
    default:
      return from;
  }
}
