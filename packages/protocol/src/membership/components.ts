/**
 * Strongly connected components, each after all that it leads to (Tarjan 1972).
 *
 * @param next the nodes that a node depends on
 */
export function components<Node> (nodes: readonly Node[], next: (node: Node) => readonly Node[]): Node[][] {
  const index = new Map<Node, number>()
  const low = new Map<Node, number>()
  const stack: Node[] = []
  const onStack = new Set<Node>()
  const found: Node[][] = []

  function visit (node: Node): number {
    const own = index.size
    index.set(node, own)
    low.set(node, own)
    stack.push(node)
    onStack.add(node)
    for (const other of next(node)) {
      const reach = !index.has(other) ? visit(other) : onStack.has(other) ? index.get(other) as number : own
      low.set(node, Math.min(low.get(node) as number, reach))
    }
    if (low.get(node) === own) found.push(close(node))
    return low.get(node) as number
  }

  function close (root: Node): Node[] {
    const component = stack.splice(stack.lastIndexOf(root))
    for (const node of component) onStack.delete(node)
    return component
  }

  for (const node of nodes) if (!index.has(node)) visit(node)
  return found
}
