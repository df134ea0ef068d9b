/** Who commits, as git writes it: the same for every implementation, so that equal content gives equal commits. */
export function committer (atMs: number): string { return `elder-node <memory@elder-node.invalid> ${Math.floor(atMs / 1000)} +0000` }
