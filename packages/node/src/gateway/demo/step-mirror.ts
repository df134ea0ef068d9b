/** Step 5: the stack on a real git remote, readable with git alone. */
import { readFile, readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { poll } from './poll.ts'
import type { Evidence } from './story.ts'
import { STACK, STEP_MS, ask, deviceAt, untilEqual } from './world.ts'
import type { World } from './world.ts'

const BRANCH = 'elder/memory'
interface Synced { results: Array<{ ok: boolean, commit: string | null, message: string | null }> }

export async function mirrorStep (world: World, url: string): Promise<Evidence> {
  const [laptop, second] = [deviceAt(world, 0), deviceAt(world, 1)]
  await ask(world, second, 'stack', 'remote', 'add', STACK, url)
  await poll(async () => (await ask<{ remotes: Array<{ url: string }> }>(world, laptop, 'stack', 'remote', 'list')).remotes.some((remote) => remote.url === url) ? true : undefined,
    { what: `${laptop.name} learns the remote that ${second.name} added`, deadlineMs: STEP_MS, signal: world.signal })
  world.story.detail(`${second.name} named the remote ${url}, ${laptop.name} pushes to it`)
  const { results } = await ask<Synced>(world, laptop, 'stack', 'sync', STACK)
  const commit = results.find(({ ok }) => ok)?.commit
  if (commit === undefined) throw new ElderError('DEMO_FAILED', `the push failed: ${results.map(({ message }) => message).join('; ') || 'no remote was pushed to'}`)
  const { digest } = await untilEqual(world, world.devices, STACK, (_digest, count) => count === 2)
  const markdown = await cloneAndRead(world, url)
  return { url, branch: BRANCH, commit, digest, files: markdown }
}

/** As anybody would read it: `git clone -b elder/memory`, then the Markdown. */
async function cloneAndRead (world: World, url: string): Promise<string[]> {
  const clone = join(world.temp, 'clone')
  const { runGit } = await import('@elder-node/crdt-stack/git')
  const { code, stderr } = await runGit({ profile: 'network', args: ['clone', '--quiet', '-b', BRANCH, url, clone], config: ['http.proxy='], deadlineMs: STEP_MS, signal: world.signal })
  if (code !== 0) throw new ElderError('DEMO_FAILED', `git clone ended with ${code}: ${stderr.trim().slice(0, 500)}`)
  const entries = await readdir(join(clone, 'stacks', STACK, 'entries'), { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.md')).map((entry) => join(entry.parentPath, entry.name)).sort()
  if (files.length !== 2) throw new ElderError('DEMO_FAILED', `the clone holds ${files.length} entries as Markdown, not 2`)
  world.story.detail(`git clone -b ${BRANCH} gives ${files.length} entries as Markdown; the first one:`)
  world.story.quote(await readFile(files[0] as string, 'utf8'))
  return files.map((file) => relative(clone, file))
}
