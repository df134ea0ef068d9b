/**
 * Services have no switches for their rules: a mutant is the shipped file, loaded again with one rule edited out of
 * its text.
 *
 * The edit travels in the query of the import and is made by {@link mutants}, a plugin of vitest. An edit whose text
 * is not there
 * exactly once fails the import, so that a mutant cannot outlive its rule.
 */
import { join } from 'node:path'

/** What stands in the shipped text, and what stands there in the mutant. */
export type Edit = readonly [from: string, to: string]

let loads = 0

/**
 * A module of its own, with its own module-level state, as each process has it. `file`: from the root of the
 * repository.
 */
export async function load<Module> (file: string, edits: readonly Edit[] = []): Promise<Module> {
  return await import(/* @vite-ignore */ `${join(import.meta.dirname, '../..', file)}${queryOf(edits, ++loads)}`) as Module
}

/** For an edit of an import, so that one mutant is made of two files. */
export function queryOf (edits: readonly Edit[], load: number | string = 'same'): string {
  return `?edits=${Buffer.from(JSON.stringify(edits)).toString('base64url')}&load=${load}`
}

const EDITS = /[?&]edits=([\w-]+)/

export function mutants (): { name: string, enforce: 'pre', transform: (code: string, id: string) => string | undefined } {
  return {
    name: 'elder-mutants', enforce: 'pre',
    transform (code, id) {
      const edits = EDITS.exec(id)?.[1]
      if (edits === undefined) return undefined
      return (JSON.parse(Buffer.from(edits, 'base64url').toString()) as Edit[]).reduce((text, [from, to]) => {
        if (text.split(from).length !== 2) throw new Error(`a mutant edits text that is not there exactly once: ${from}`)
        return text.replace(from, () => to)
      }, code)
    },
  }
}
