/**
 * Strongly connected components, each after all that it leads to (Tarjan 1972). Without recursion: a chain may be as long as the set of nodes.
 *
 * @param next the nodes that a node depends on
 */
export function components<Node> (nodes: readonly Node[], next: (node: Node) => readonly Node[]): Node[][] {
  const index = new Map<Node, number>()
  const low = new Map<Node, number>()
  const open: Node[] = []
  const isOpen = new Set<Node>()
  const found: Node[][] = []
  const lower = (node: Node, reach: number | undefined): void => { low.set(node, Math.min(low.get(node) as number, reach as number)) }

  function enter (node: Node): { node: Node, rest: Iterator<Node> } {
    index.set(node, index.size)
    low.set(node, index.size - 1)
    open.push(node)
    isOpen.add(node)
    return { node, rest: next(node)[Symbol.iterator]() }
  }

  function close (root: Node): Node[] {
    const component = open.splice(open.lastIndexOf(root))
    for (const node of component) isOpen.delete(node)
    return component
  }

  function visit (from: Node): void {
    const path = [enter(from)]
    for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
      const { value: other, done } = last.rest.next()
      if (done !== true) {
        if (!index.has(other)) path.push(enter(other))
        else if (isOpen.has(other)) lower(last.node, index.get(other))
        continue
      }
      path.pop()
      const parent = path.at(-1)
      if (parent !== undefined) lower(parent.node, low.get(last.node))
      if (low.get(last.node) === index.get(last.node)) found.push(close(last.node))
    }
  }

  for (const node of nodes) if (!index.has(node)) visit(node)
  return found
}
