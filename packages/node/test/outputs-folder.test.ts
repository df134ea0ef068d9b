/** Whose folders outputs are written into, and what happens when somebody swaps them meanwhile. */
import { mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { chmod, chown, lstat, mkdir, readdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { platform, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { whoElseWrites } from '../src/adapters/folder.ts'
import { FileOutputReader } from '../src/adapters/output-reader.ts'
import { FileOutputWriter } from '../src/adapters/output-writer.ts'
import { listInside } from '../src/adapters/safe-file.ts'
import type { OutputPart, SentTree } from '../src/ports/source.ts'
import { needs } from './support/when.ts'

const base = await realpath(mkdtempSync(join(tmpdir(), 'elder-folder-')))
afterAll(() => { rmSync(base, { recursive: true, force: true }) })
const signal = new AbortController().signal
const self = process.getuid?.() ?? -1
const isRoot = needs(self === 0, 'root')
const isPosix = needs(self >= 0, 'owners of files')
const NOBODY = 65_534
let count = 0

async function folder (): Promise<string> {
  const dir = join(base, `f${++count}`)
  await mkdir(dir)
  return dir
}

/** `meanwhile` runs when the file has come, before it appears. */
async function * parts (paths: string[], meanwhile: () => unknown = () => {}): AsyncGenerator<OutputPart> {
  const data = Buffer.from('built')
  const files = paths.map(path => ({ path, mode: 0o644 as const, bytes: data.length }))
  for (const file of files) {
    yield { type: 'file', file }
    yield { type: 'chunk', data }
  }
  await meanwhile()
  const sha256 = createHash('sha256').update(data).digest('hex')
  yield { type: 'end', manifest: files.map(file => ({ ...file, sha256 })) }
}

const writer = new FileOutputWriter()
interface How { meanwhile?: () => unknown, sent?: SentTree, by?: FileOutputWriter }

/** Paths that were written, or the code of the error. */
async function write (to: string, paths: string[], { meanwhile, sent, by = writer }: How = {}): Promise<unknown> {
  const options = { outputs: ['**'], signal, ...(sent === undefined ? {} : { sent }) }
  try {
    return (await by.write(to, parts(paths, meanwhile), options)).map(({ path }) => path)
  } catch (error) {
    return (error as { code?: string }).code ?? error
  }
}

describe.runIf(isPosix)('whoever else may write to a folder could redirect what is written there', () => {
  const [DIR, gid] = [0o040_000, process.getgid?.() ?? 0]
  const who = async (mode: number, uid = self, group = gid): Promise<string | undefined> =>
    await whoElseWrites({ uid, gid: group, mode: DIR | mode })

  test('one\'s own, root\'s and those in which nobody can replace another\'s file are fine', async () => {
    for (const [mode, uid] of [[0o700, self], [0o755, self], [0o755, 0], [0o1777, 0]] as Array<[number, number]>) {
      expect(await who(mode, uid)).toBeUndefined()
    }
  })

  test('another user\'s, and one that all may write to, are not', async () => {
    expect(await who(0o700, self + 1)).toMatch(/another user/)
    expect(await who(0o1777, self + 1)).toMatch(/another user/)
    expect(await who(0o777)).toMatch(/every user/)
  })

  test.runIf(needs(platform() === 'linux', 'groups'))('a group may write when nobody else is in it', async () => {
    const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map(line => line.split(':'))
    const own = users.find(fields => fields[2] === String(self))?.[3]
    if (own === String(self)) expect(await who(0o775, self, self)).toBeUndefined()
    const others = users.find(([, , uid, group]) => ![0, self].includes(Number(uid)) && group !== '0' && group !== own)
    expect(await who(0o775, self, Number(others?.[3]))).toMatch(/a group that others may be in/)
    expect(await who(0o755, self, Number(others?.[3]))).toBeUndefined()
    // No file of the system knows it: it is a directory service's, and shared as a rule.
    expect(await who(0o775, self, 3_999_999)).toMatch(/a group that others may be in/)
  })
})

describe.runIf(isPosix)('a folder that somebody else may write to is refused', () => {
  test('before a build, and whatever is to be written', async () => {
    const to = await folder()
    await chmod(to, 0o777)
    const [names, tells] = [expect.stringContaining(to) as string, expect.stringContaining('--to') as string]
    await expect(writer.resolve(to)).rejects.toMatchObject({ code: 'OUTPUT_FOLDER', message: names, fix: tells })
    expect(await write(to, ['a'])).toBe('OUTPUT_FOLDER')
    expect(await readdir(to)).toEqual([])
    await chmod(to, 0o1777)
    expect(await writer.resolve(to)).toBe(to)
    expect(await write(to, ['a'])).toEqual(['a'])
  })

  test('on the way to an output too: then nothing appears', async () => {
    const to = await folder()
    await mkdir(join(to, 'd/e'), { recursive: true })
    await chmod(join(to, 'd/e'), 0o777)
    expect(await writer.resolve(to)).toBe(to)
    expect(await write(to, ['a', 'd/e/f/x'])).toBe('OUTPUT_FOLDER')
    expect([await readdir(to), await readdir(join(to, 'd/e'))]).toEqual([['d'], []])
  })

  test.runIf(isRoot)('also one that another user owns', async () => {
    const to = await folder()
    await mkdir(join(to, 'dist'))
    await chown(join(to, 'dist'), NOBODY, NOBODY)
    expect(await write(to, ['dist/x'])).toBe('OUTPUT_FOLDER')
    await chown(to, NOBODY, NOBODY)
    await expect(writer.resolve(to)).rejects.toMatchObject({ code: 'OUTPUT_FOLDER' })
  })

  test('beside the target it is not written to either: outputs wait inside', async () => {
    const above = await folder()
    const to = join(above, 'to')
    await mkdir(to)
    let there: string[][] = []
    const look = (): void => { there = [readdirSync(above), readdirSync(to)] }
    expect(await write(to, ['a'], { meanwhile: look })).toEqual(['a'])
    expect(there).toEqual([[expect.stringMatching(/^\.elder-outputs-/) as string, 'to'], []])
    await chmod(above, 0o777)
    expect(await write(to, ['a'], { meanwhile: look })).toEqual(['a'])
    expect(there).toEqual([['to'], [expect.stringMatching(/^\.elder-outputs-/) as string, 'a']])
  })
})

describe.runIf(isPosix)('a swap while outputs are written', () => {
  /** Runs `swap` when every way was checked and nothing was written yet. */
  const sentTo = (root: string, swap: () => void): SentTree => ({
    root, builder: 'mini', present: Promise.resolve(new Set()), globsBy: 'person',
    ids: async () => {
      swap()
      return new Map()
    },
  })

  test('of a folder for a symlink writes nothing outside', async () => {
    const [to, outside] = [await folder(), await folder()]
    await mkdir(join(to, 'd/z'), { recursive: true })
    const swap = (): void => {
      renameSync(join(to, 'd'), join(to, 'old'))
      symlinkSync(outside, join(to, 'd'))
    }
    await mkdir(join(outside, 'z'))
    expect(await write(to, ['d/z/evil'], { sent: sentTo(to, swap) })).toBe('OUTPUT_INVALID')
    expect(await readdir(join(outside, 'z'))).toEqual([])
  })

  test('of the target itself changes nothing: it is held open', async () => {
    const [to, outside] = [await folder(), await folder()]
    const swap = (): void => {
      renameSync(to, `${to}.old`)
      symlinkSync(outside, to)
    }
    expect(await write(to, ['d/evil'], { sent: sentTo(to, swap) })).toEqual(['d/evil'])
    expect([await readdir(outside), await readdir(`${to}.old/d`)]).toEqual([[], ['evil']])
  })

  test('of a folder above for a symlink, before the outputs come, writes nothing', async () => {
    const [above, outside] = [await folder(), await folder()]
    await mkdir(join(above, 'p/to'), { recursive: true })
    await mkdir(join(outside, 'to'))
    await symlink('p', join(above, 'link'))
    const targets = [await writer.resolve(join(above, 'link/to')), await writer.resolve(join(above, 'link/new/to'))]
    expect(targets).toEqual([join(above, 'p/to'), join(above, 'p/new/to')])
    renameSync(join(above, 'p'), join(above, 'old'))
    symlinkSync(outside, join(above, 'p'))
    for (const to of targets) expect(await write(to, ['evil'])).toBe('OUTPUT_INVALID')
    rmSync(join(above, 'p'))
    await mkdir(join(above, 'p'))
    symlinkSync(outside, join(above, 'p/new'))
    expect(await write(targets[1] as string, ['evil'])).toBe('OUTPUT_INVALID')
    expect(await readdir(outside, { recursive: true })).toEqual(['to'])
  })

  test('of the folder where they wait removes nothing of somebody\'s', async () => {
    const to = await folder()
    await mkdir(join(to, 'in'))
    const victim = await folder()
    await writeFile(join(victim, '0'), 'victim')
    const modeBefore = (await lstat(join(victim, '0'))).mode & 0o777
    const swap = (): void => {
      const name = readdirSync(to).find(entry => entry.startsWith('.elder-outputs-')) as string
      renameSync(join(to, name), join(to, 'moved'))
      symlinkSync(victim, join(to, name))
    }
    expect(await write(join(to, 'in'), ['a'], { meanwhile: swap })).toEqual(['a'])
    expect(await readFile(join(victim, '0'), 'utf8')).toBe('victim')
    expect((await lstat(join(victim, '0'))).mode & 0o777).toBe(modeBefore)
    expect(await readdir(join(to, 'moved'))).toEqual([])
  })
})

describe.runIf(isPosix)('the folder where outputs wait, after a crash', () => {
  const staged = (dir: string): string[] => readdirSync(dir).filter(name => name.startsWith('.elder-outputs-'))

  test('goes at the next start; what lies there under its name by somebody else stays', async () => {
    const [above, dir] = [await folder(), join(await folder(), 'data')]
    const to = join(above, 'to')
    const theirs = join(above, '.elder-outputs-0123456789abcdef')
    await mkdir(theirs)
    let stage = ''
    let [noted, swept]: string[][] = [[], []]
    // A second life begins while the first one holds its staging folder, as it would after a SIGKILL.
    const crash = async (): Promise<void> => {
      stage = staged(above).find(name => !theirs.endsWith(name)) as string
      noted = await readdir(join(dir, 'staging'))
      await new FileOutputWriter({ dir }).sweep()
      swept = [...staged(above), ...await readdir(join(dir, 'staging'))]
    }
    expect(await write(to, ['a'], { by: new FileOutputWriter({ dir }), meanwhile: crash })).not.toEqual(['a'])
    expect(noted).toEqual([expect.stringMatching(/^\.elder-outputs-/)])
    expect(noted).toEqual([stage])
    expect(swept).toEqual(['.elder-outputs-0123456789abcdef'])
  })

  test('is left when it is a symlink, and what no node put into it stays', async () => {
    const [above, dir, victim] = [await folder(), join(await folder(), 'data'), await folder()]
    await writeFile(join(victim, '0'), 'victim')
    const found: string[][] = []
    const swap = async (): Promise<void> => {
      const stage = join(above, staged(above)[0] as string)
      renameSync(stage, join(above, 'moved'))
      symlinkSync(victim, stage)
      await new FileOutputWriter({ dir }).sweep()
      found.push(await readdir(victim))
      rmSync(stage)
    }
    await write(join(above, 'to'), ['a'], { by: new FileOutputWriter({ dir }), meanwhile: swap })
    const fill = async (): Promise<void> => {
      const stage = join(above, staged(above)[0] as string)
      writeFileSync(join(stage, 'somebody\'s'), '')
      await new FileOutputWriter({ dir }).sweep()
      found.push(await readdir(stage))
    }
    await write(join(above, 'to'), ['a'], { by: new FileOutputWriter({ dir }), meanwhile: fill })
    expect(found).toEqual([['0'], ['somebody\'s']])
  })
})

describe.runIf(needs(platform() === 'linux', '/proc'))('a builder lists outputs', () => {
  test('of a folder that is reached through no symlink', async () => {
    const [root, outside] = [await folder(), await folder()]
    await mkdir(join(root, 'd/e'), { recursive: true })
    await writeFile(join(root, 'd/e/x'), '')
    await writeFile(join(outside, 'secret'), '')
    await symlink(outside, join(root, 'link'))
    await symlink('d', join(root, 'way'))
    expect((await listInside(root, 'd/e'))?.map(({ name }) => name)).toEqual(['x'])
    for (const path of ['link', 'way/e', 'none', 'd/e/x']) expect(await listInside(root, path)).toBeUndefined()
  })

  test('of no folder that was swapped after its parent was listed', async () => {
    const [root, outside] = [await folder(), await folder()]
    await writeFile(join(outside, 'secret'), '')
    const names = Array.from({ length: 8 }, (_, i) => `d${i}`)
    for (const name of names) {
      await mkdir(join(root, name))
      await writeFile(join(root, name, 'own'), '')
    }
    let swapped = false
    const swap = (): void => {
      if (swapped) return
      swapped = true
      for (const name of names) {
        renameSync(join(root, name), join(root, `${name}.old`))
        symlinkSync(outside, join(root, name))
      }
    }
    const hook = { throwIfAborted: swap } as AbortSignal
    const { paths } = await new FileOutputReader().match(root, ['d*/**'], { signal: hook })
    expect(swapped).toBe(true)
    expect(paths.filter(path => !path.endsWith('/own'))).toEqual([])
  })
})
