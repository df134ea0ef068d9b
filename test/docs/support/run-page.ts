/** Types a whole page of the documentation, block after block, on devices of its own. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { parsePage } from './page.ts'
import { unknownWords } from './parse.ts'
import { BIN, Sandbox } from './sandbox.ts'

export const ROOT: string = fileURLToPath(new URL('../../..', import.meta.url))

/** @param path from the root of the repository. */
export async function runPage (path: string): Promise<void> {
  const page = parsePage(readFileSync(join(ROOT, path), 'utf8'))
  const words = [...page.inline, ...page.blocks.filter(({ notRun }) => notRun !== undefined).flatMap(({ typed }) => typed)]
  expect(words.flatMap(({ line, at }) => unknownWords(BIN, line).map((wrong) => `${path}:${at}: ${wrong}`))).toEqual([])
  if (!page.blocks.some(({ notRun, typed }) => notRun === undefined && typed.length > 0)) return
  await using sandbox = new Sandbox()
  await sandbox.given(page.given)
  for (const block of page.blocks) {
    if (block.notRun === undefined) await sandbox.run(block)
    else process.stderr.write(`not run here, ${path}:${block.at}: ${block.notRun}\n`)
  }
}
