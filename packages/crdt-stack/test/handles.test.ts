import { spawnSync } from 'node:child_process'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Handles } from '../src/fs/handles.ts'

let dir = ''
beforeAll(async () => { dir = await mkdtemp(join(tmpdir(), 'elder-handles-')) })
afterAll(async () => { await rm(dir, { recursive: true, force: true }) })

const path = (name: string | number): string => join(dir, String(name))

/** A pool whose opened paths are written down. */
function watched (max: number): { handles: Handles, opened: string[] } {
  const opened: string[] = []
  const handles = new Handles({ max, open: async (file, flags) => {
    opened.push(file)
    return await open(file, flags)
  } })
  return { handles, opened }
}

describe('handles', () => {
  it('never open more files than their bound, however many are used at once', async () => {
    const handles = new Handles({ max: 3 })
    let most = 0
    await Promise.all(Array.from({ length: 200 }, async (_, i) => {
      await handles.use(path(`many-${i % 50}`), 'a', async handle => {
        most = Math.max(most, handles.open)
        await handle.write(`${i}\n`)
      })
    }))
    expect(most).toBe(3)
    expect((await readFile(path('many-7'), 'utf8')).split('\n').slice(0, -1).map(Number)).toEqual([7, 57, 107, 157])
    await handles.closeAll()
    expect(handles.open).toBe(0)
  })

  it('keep the files that were used last open', async () => {
    const { handles, opened } = watched(2)
    for (const name of ['a', 'b', 'a', 'c', 'a', 'b']) await handles.use(path(name), 'a', async () => {})
    expect(opened).toEqual(['a', 'b', 'c', 'b'].map(path))
    await handles.closeAll()
  })

  it('run the uses of one path in order, so that a size which was read holds until the write', async () => {
    const handles = new Handles({ max: 4 })
    await writeFile(path('log'), '')
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      await handles.use(path('log'), 'r+', async handle => {
        const { size } = await handle.stat()
        await handle.write(Buffer.from(String.fromCharCode(40 + i)), 0, 1, size)
      })
    }))
    expect(await readFile(path('log'), 'latin1')).toBe(String.fromCharCode(...Array.from({ length: 50 }, (_, i) => 40 + i)))
    await handles.closeAll()
  })

  it('open a file anew after a failed use, with other flags, and after a close', async () => {
    const { handles, opened } = watched(2)
    await expect(handles.use(path('x'), 'a', async () => { throw new Error('no') })).rejects.toThrow('no')
    expect(handles.open).toBe(0)
    await handles.use(path('x'), 'a', async () => {})
    await handles.use(path('x'), 'r', async () => {})
    await handles.close(path('x'))
    await handles.close(path('never opened'))
    await handles.use(path('x'), 'r', async () => {})
    expect(opened).toHaveLength(4)
    await handles.closeAll()
  })

  it('give their place back when a file cannot be opened', async () => {
    const handles = new Handles({ max: 1 })
    await expect(handles.use(join(dir, 'none', 'x'), 'r', async () => {})).rejects.toMatchObject({ code: 'ENOENT' })
    await handles.use(path('y'), 'a', async () => {})
    expect(handles.open).toBe(1)
    await handles.closeAll()
  })

  it('make do with fewer when the system has no descriptor left', async () => {
    let free = 2
    const handles = new Handles({ max: 50, open: async (file, flags) => {
      if (free === 0) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' })
      free--
      const handle = await open(file, flags)
      const close = handle.close.bind(handle)
      return Object.assign(handle, { close: async () => { free++; await close() } })
    } })
    const written = await Promise.all(Array.from({ length: 20 }, async (_, i) => await handles.use(path(`few-${i}`), 'a', async () => i)))
    expect(written).toHaveLength(20)
    expect(handles.max).toBe(2)
    await handles.closeAll()
    free = 0
    await expect(handles.use(path('few-1'), 'a', async () => {})).rejects.toMatchObject({ code: 'EMFILE' })
  })

  it('serve 1,300 files under a limit of 64 descriptors of a real process', () => {
    const child = fileURLToPath(new URL('handles-child.ts', import.meta.url))
    const script = 'ulimit -n 64 && exec "$0" --conditions=elder-source "$1" "$2"'
    const { stdout, stderr } = spawnSync('sh', ['-c', script, process.execPath, child, dir], { encoding: 'utf8', timeout: 50_000 })
    expect(stderr).toBe('')
    expect(stdout).toBe('1300\n')
  })
})
