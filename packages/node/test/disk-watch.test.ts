import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { DiskWatch, heldBytes, type DiskWatchInit } from '../src/adapters/disk-watch.ts'
import { until } from './engine/acceptance.ts'

const MB = 1_048_576
const base = mkdtempSync(join(tmpdir(), 'elder-disk-'))
const running: DiskWatch[] = []
afterEach(() => { for (const watch of running.splice(0)) watch.stop() })
afterAll(() => { rmSync(base, { recursive: true, force: true }) })

let n = 0
async function build (bytes: number): Promise<string> {
  const folder = join(base, `b${++n}`)
  await mkdir(folder)
  await writeFile(join(folder, 'file'), Buffer.alloc(bytes, 1))
  return folder
}

function watch (folder: string, more: Partial<DiskWatchInit> = {}): { ended: Array<'limit' | 'reserve'>, watch: DiskWatch } {
  const ended: Array<'limit' | 'reserve'> = []
  const made = new DiskWatch({ folders: () => [folder], bytesMax: 8 * MB, reserveBytes: 0, onFull: ({ cause }) => { ended.push(cause) }, ...more })
  running.push(made)
  return { ended, watch: made }
}

describe('a disk limit', () => {
  test('ends what grows over it, once, and leaves alone what stays below', async () => {
    const [big, small] = [await build(MB), await build(MB)]
    const [one, other] = [watch(big), watch(small)]
    await writeFile(join(big, 'more'), Buffer.alloc(9 * MB, 1))
    expect(await until(async () => one.watch.full, 30_000)).toBe(true)
    expect(one.ended).toEqual(['limit'])
    expect(await other.watch.measure()).toBeLessThan(2 * MB)
    expect(other.ended).toEqual([])
  })

  test('when the disk itself runs full the biggest build ends, and no other before its space is back', async () => {
    const [big, small] = [await build(4 * MB), await build(MB)]
    const { bavail, bsize } = await statfs(base)
    const reserveBytes = bavail * bsize * 2
    const [other, one] = [watch(small, { reserveBytes }), watch(big, { reserveBytes })]
    expect(await until(async () => one.watch.full, 30_000)).toBe(true)
    expect(one.ended).toEqual(['reserve'])
    expect(other.watch.full).toBe(false)
  })

  test('a tree that cannot be counted hides nothing: the disk is looked at meanwhile, and it ends first when that runs full', async () => {
    const [slow, quick] = [await build(MB), await build(4 * MB)]
    let asked = 0
    const hung = watch(slow, { walk: () => new Promise(() => undefined), folders: () => { asked++; return [slow] } })
    void hung.watch.measure()
    expect(await until(async () => asked > 3, 30_000)).toBe(true)
    const { bavail, bsize } = await statfs(base)
    const other = watch(quick, { reserveBytes: bavail * bsize * 2 })
    expect(await until(async () => hung.watch.full, 30_000)).toBe(true)
    expect([hung.ended, other.ended]).toEqual([['reserve'], []])
  })

  test('a folder whose name reads as a sum is no sum', async () => {
    const folder = await build(3 * MB)
    await mkdir(join(base, 'x\n0\ttotal'))
    expect(await heldBytes([join(base, 'x\n0\ttotal'), folder])).toBeGreaterThanOrEqual(3 * MB)
  })

  test('a watch that was stopped ends nothing', async () => {
    const one = watch(await build(9 * MB))
    one.watch.stop()
    await one.watch.measure()
    expect(one.ended).toEqual([])
  })

  test('what is held counts blocks, and a folder that is gone is nothing', async () => {
    const folder = await build(3 * MB)
    expect(await heldBytes([folder, join(base, 'none')])).toBeGreaterThanOrEqual(3 * MB)
    expect(await heldBytes([join(base, 'none')])).toBe(0)
  })
})
