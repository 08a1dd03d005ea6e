/**
 * The shape of a region's control flow: reverse postorder, dominators, loops; what structured code needs to know.
 *
 * Dominators after Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm"; the structure that is made from them
 * after Ramsey, "Beyond Relooper" (ICFP 2022).
 *
 * @module
 */

export interface ControlFlow {
  /** Nodes that the entry reaches, in reverse postorder. */
  readonly order: readonly number[];
  /** Position in `order`. */
  readonly position: ReadonlyMap<number, number>;
  /** Nodes whose immediate dominator is the key, in reverse postorder. */
  readonly children: ReadonlyMap<number, readonly number[]>;
  /** Targets of back edges. */
  readonly loops: ReadonlySet<number>;
  /** Nodes with more than one edge into them that is no back edge. */
  readonly merges: ReadonlySet<number>;
  /** Nodes with an edge back, to themselves or to a node before them. */
  readonly latches: ReadonlySet<number>;
  /** Where edges into a node come from. */
  predecessors(node: number): readonly number[];
  /** A node's immediate dominator; of the entry itself. */
  dominator(node: number): number;
}

export function analyse(entry: number, successors: (node: number) => readonly number[]): ControlFlow {
  const order = reversePostorder(entry, successors);
  const position = new Map(order.map((node, index) => [node, index]));
  const predecessors = order.map((): number[] => []);
  for (const [index, node] of order.entries()) {
    for (const successor of successors(node)) predecessors[position.get(successor) as number]?.push(index);
  }
  const dominators = immediateDominators(predecessors);
  const children = new Map<number, number[]>(order.map((node) => [node, []]));
  const loops = new Set<number>();
  const merges = new Set<number>();
  const latches = new Set<number>();
  for (const [index, node] of order.entries()) {
    if (index > 0) children.get(order[dominators[index] as number] as number)?.push(node);
    let forward = 0;
    for (const predecessor of predecessors[index] as number[]) {
      if (predecessor < index) {
        forward++;
        continue;
      }
      loops.add(node);
      latches.add(order[predecessor] as number);
    }
    if (forward > 1) merges.add(node);
  }
  const nodeAt = (index: number): number => order[index] as number;
  const positionOf = (node: number): number => position.get(node) as number;
  return {
    order,
    position,
    children,
    loops,
    merges,
    latches,
    predecessors: (node) => (predecessors[positionOf(node)] as number[]).map(nodeAt),
    dominator: (node) => nodeAt(dominators[positionOf(node)] as number),
  };
}

function reversePostorder(entry: number, successors: (node: number) => readonly number[]): number[] {
  const visited = new Set<number>([entry]);
  const order: number[] = [];
  const stack = [{ node: entry, next: 0 }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1] as { node: number; next: number };
    const successor = successors(top.node)[top.next++];
    if (successor === undefined) {
      order.push(top.node);
      stack.pop();
    } else if (!visited.has(successor)) {
      visited.add(successor);
      stack.push({ node: successor, next: 0 });
    }
  }
  return order.reverse();
}

/** Of nodes numbered in reverse postorder; the entry's is itself. */
function immediateDominators(predecessors: readonly (readonly number[])[]): Int32Array {
  const dominators = new Int32Array(predecessors.length).fill(-1);
  dominators[0] = 0;
  const meet = (x: number, y: number): number => {
    let p = x;
    let q = y;
    while (p !== q) {
      while (p > q) p = dominators[p] as number;
      while (q > p) q = dominators[q] as number;
    }
    return p;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let node = 1; node < predecessors.length; node++) {
      let found = -1;
      for (const predecessor of predecessors[node] as readonly number[]) {
        if (dominators[predecessor] === -1) continue;
        found = found === -1 ? predecessor : meet(predecessor, found);
      }
      if (found !== dominators[node]) {
        dominators[node] = found;
        changed = true;
      }
    }
  }
  return dominators;
}
