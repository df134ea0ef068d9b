/** Writes docs/reference from the code: `npm run reference`. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { referencePages } from './reference/pages.ts'

const root = dirname(import.meta.dirname)
const folder = join(root, 'docs/reference')
const pages = await referencePages(root)
mkdirSync(folder, { recursive: true })
for (const name of readdirSync(folder)) if (!pages.has(name)) rmSync(join(folder, name))
for (const [name, text] of pages) writeFileSync(join(folder, name), text)
console.log(`docs/reference: ${pages.size} pages`)
