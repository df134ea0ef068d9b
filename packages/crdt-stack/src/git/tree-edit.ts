/** A tree of git with some paths changed: only the folders on the way are read, and only they are written anew. */

export interface TreeLine { mode: string, path: string, oid: string, type: 'blob' | 'tree' | 'commit' }

export interface TreeStore {
  readTree (oid: string): Promise<TreeLine[]>
  /** Takes the lines in any order. */
  writeTree (lines: TreeLine[]): Promise<string>
}

/** Content null deletes the path, whatever it is. Deletes come first: a file may make way for a folder, and back. */
export interface TreeEdit { path: string, blob: string | null }

/** The id of the new tree; an empty one when nothing is left. */
export async function editTree (store: TreeStore, base: string | undefined, edits: TreeEdit[]): Promise<string> {
  const root = new Folder(store, base)
  for (const { path, blob } of edits) if (blob === null) await root.set(path.split('/'), undefined)
  for (const { path, blob } of edits) if (blob !== null) await root.set(path.split('/'), { mode: '100644', path: '', oid: blob, type: 'blob' })
  return await root.write() ?? await store.writeTree([])
}

class Folder {
  readonly #store: TreeStore
  readonly #oid: string | undefined
  /** Undefined until something in here is touched. */
  #children: Map<string, TreeLine | Folder> | undefined

  constructor (store: TreeStore, oid: string | undefined) {
    this.#store = store
    this.#oid = oid
  }

  async set (path: string[], leaf: TreeLine | undefined): Promise<void> {
    const [name = '', ...rest] = path
    const children = await this.#load()
    const child = children.get(name)
    if (rest.length === 0) {
      if (leaf === undefined) children.delete(name)
      else children.set(name, leaf)
    } else if (child instanceof Folder) {
      await child.set(rest, leaf)
    } else if (leaf !== undefined) {
      const made = new Folder(this.#store, undefined)
      children.set(name, made)
      await made.set(rest, leaf)
    }
  }

  /** Undefined when it is empty: git keeps no empty folders. */
  async write (): Promise<string | undefined> {
    if (this.#children === undefined) return this.#oid
    const lines: TreeLine[] = []
    for (const [path, child] of this.#children) {
      if (!(child instanceof Folder)) lines.push({ ...child, path })
      const oid = child instanceof Folder ? await child.write() : undefined
      if (oid !== undefined) lines.push({ mode: '040000', path, oid, type: 'tree' })
    }
    return lines.length === 0 ? undefined : await this.#store.writeTree(lines)
  }

  async #load (): Promise<Map<string, TreeLine | Folder>> {
    if (this.#children !== undefined) return this.#children
    const lines = this.#oid === undefined ? [] : await this.#store.readTree(this.#oid)
    this.#children = new Map(lines.map(line => [line.path, line.type === 'tree' ? new Folder(this.#store, line.oid) : line]))
    return this.#children
  }
}
