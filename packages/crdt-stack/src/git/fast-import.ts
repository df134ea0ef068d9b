/** One commit as a `git fast-import` stream: one process, no index, no worktree (format: git-fast-import(1)). */
import { committer } from './identity.ts'
import { checkedPath } from './path.ts'
import type { NewCommit } from './port.ts'

/** Names the commit while it has not been pushed, so that no clean-up takes it. */
const CANDIDATE_REF = 'refs/elder/candidate'

export function fastImport (commit: NewCommit): Uint8Array {
  const parts: Uint8Array[] = []
  const text = (line: string): void => { parts.push(Buffer.from(line, 'utf8')) }
  const data = (content: Uint8Array): void => {
    text(`data ${content.length}\n`)
    parts.push(content)
    text('\n')
  }
  text(`feature done\ncommit ${CANDIDATE_REF}\nmark :1\ncommitter ${committer(commit.atMs)}\n`)
  data(Buffer.from(commit.message, 'utf8'))
  if (commit.parent !== undefined) text(`from ${commit.parent}\n`)
  // Deletes first: a tail segment and its longer form are different paths, a file may make way for a folder.
  for (const change of commit.changes) if (change.content === null) text(`D ${checkedPath(change.path)}\n`)
  for (const change of commit.changes) {
    if (change.content === null) continue
    text(`M 100644 inline ${checkedPath(change.path)}\n`)
    data(change.content)
  }
  text('\nget-mark :1\ndone\n')
  return Buffer.concat(parts)
}
