/** Appends twice to each of 1,300 files at once, under whatever limit of descriptors this process has. */
import { join } from 'node:path'
import { Handles } from '../src/fs/handles.ts'

const dir = process.argv[2] as string
const handles = new Handles({ max: 1000 })
const append = async (i: number): Promise<void> => { await handles.use(join(dir, `real-${i}`), 'a', async handle => { await handle.write('x') }) }
await Promise.all(Array.from({ length: 1300 }, async (_, i) => { await append(i); await append(i) }))
const sizes = await Promise.all(Array.from({ length: 1300 }, async (_, i) => {
  return await handles.use(join(dir, `real-${i}`), 'a', async handle => (await handle.stat()).size)
}))
console.log(sizes.filter(size => size === 2).length)
await handles.closeAll()
