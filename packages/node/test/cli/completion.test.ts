/** Tab: in the words of this program, and in real shells. */
import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Desk } from '../support/cli.ts'
import { device } from '../support/fake-node.ts'
import { needs } from '../support/when.ts'

const START = fileURLToPath(new URL('../../src/gateway/cli/start.ts', import.meta.url))
let desk: Desk
let id: string
beforeAll(async () => {
  desk = await Desk.open()
  id = String((await desk.run(['stack', 'add', 'my-repo', '--kind', 'note', '--title', 'a\u001b[2J note', '--json'])).json()[0]?.id)
  // The program as a shell finds it: this desk's node, run from the sources.
  mkdirSync(join(desk.dir, 'bin'))
  const program = join(desk.dir, 'bin', 'elder-node')
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning --experimental-strip-types --conditions=elder-source -e 'import("${START}").then(cli => cli.start(process.argv.slice(1)))' -- "$@"\n`)
  chmodSync(program, 0o755)
  mkdirSync(join(desk.dir, 'some dir'))
})
afterAll(async () => { await desk[Symbol.asyncDispose]() })

const words = async (...line: string[]): Promise<string[]> => (await desk.run(['__complete', ...line])).stdout.split('\n').slice(0, -1).map((one) => one.split('\t')[0] ?? '')

describe('the next word', () => {
  test('is a command, a subcommand, or a flag, and nothing hidden', async () => {
    expect(await words('sta')).toEqual(['status', 'stack'].filter((word) => word.startsWith('sta')))
    expect(await words('')).toEqual(expect.arrayContaining(['join', 'status', 'completion']))
    expect(await words('')).not.toContain('__complete')
    expect(await words('stack', '')).toEqual(expect.arrayContaining(['add', 'search', 'log', 'verify', 'remote']))
    expect(await words('stack', '')).not.toContain('recall')
    expect(await words('stack', 'remote', '')).toEqual(['add', 'list', 'rm'])
    expect(await words('stack', 'add', '--t')).toEqual(['--title', '--tag', '--timeout'])
    expect(await words('--json', 'builds', 'l')).toEqual(['logs'])
  })

  test('is a value of the flag before it', async () => {
    expect(await words('invite', '--role', '')).toEqual(['observer', 'member', 'builder', 'admin'])
    expect(await words('stack', 'add', 'my-repo', '--kind', 'd')).toEqual(['decision'])
    expect(await words('build', '.', '--on', 'm')).toEqual(['mini'])
    expect(await words('join', '--ticket-file', '')).toEqual([':files'])
    expect(await words('status', '--timeout', '')).toEqual([])
  })

  test('is something that the running node knows', async () => {
    expect(await words('evict', '')).toEqual(['laptop', 'mini'])
    expect(await words('builds', 'logs', '')).toEqual(['buildid123456'])
    expect(await words('stack', 'show', 'my')).toEqual(['my-repo'])
    expect(await words('stack', 'edit', 'my-repo', id.slice(0, 6))).toEqual([id])
    expect(await words('stack', 'log', 'my-repo', '--entry', '')).toEqual([id])
    expect(await words('stack', 'show', 'typo', '')).toEqual([])
    expect(await words('stack', 'rm', '--all-of', 'my')).toEqual(['my-repo'])
    expect(await words('stack', 'archive', '--undo', 'my')).toEqual(['my-repo'])
  })

  test('behind -- and for folders it is a file', async () => {
    expect(await words('build', '.', '--', 'mak')).toEqual([':files'])
    expect(await words('build', '')).toEqual([':files'])
  })

  test('says in a few plain words what it is about', async () => {
    expect((await desk.run(['__complete', 'stack', 'show', 'my-repo', ''])).stdout).toBe(`${id}\tnote: a·[2J note\n`)
  })

  test('is nothing, quickly and in silence, where no node runs, and after words that make no sense', async () => {
    await using alone = new Desk()
    for (const line of [['evict', ''], ['stack', 'show', ''], ['no-such-command', ''], ['evict', 'x', '--on', '--on', ''], []]) {
      expect(await alone.run(['__complete', ...line])).toMatchObject({ code: 0, stderr: '' })
    }
    expect((await alone.run(['__complete', 'evict', ''])).stdout).toBe('')
  })

  test('never holds what a shell would run: names come from other devices', async () => {
    desk.node.devices = async () => [device({ id: 'x', name: 'x$(reboot)' }), device({ id: 'y', name: 'fine' })]
    try {
      expect(await words('evict', '')).toEqual(['fine'])
    } finally {
      Reflect.deleteProperty(desk.node, 'devices')
    }
  })
})

test.each(['bash', 'zsh', 'fish'])('completion %s prints a script; another shell is refused with those', async (shell) => {
  expect((await desk.run(['completion', shell])).stdout).toContain('__complete')
  expect((await desk.run(['completion', shell, '--json'])).json()[0]).toMatchObject({ schema: 'elder/completion.v1', shell })
  expect(await desk.run(['completion', 'tcsh'])).toMatchObject({ code: 2, stderr: expect.stringContaining('bash, zsh, fish') as string })
})

describe('in a real shell', () => {
  const has = (shell: string): boolean => {
    try { execFileSync(shell, ['-c', 'true']); return true } catch { return false }
  }
  // The shell is another process: the node behind the socket is in this one, and must be able to answer meanwhile.
  const run = async (shell: string, args: string[]): Promise<string> => {
    const env = { ...process.env, HOME: desk.dir, PATH: `${join(desk.dir, 'bin')}:${process.env.PATH}`, ELDER_NODE_DIR: desk.dir, NODE_OPTIONS: '', TERM: 'dumb' }
    return (await promisify(execFile)(shell, args, { cwd: desk.dir, encoding: 'utf8', env })).stdout
  }
  const script = async (shell: string): Promise<string> => {
    const path = join(desk.dir, `completion.${shell}`)
    writeFileSync(path, (await desk.run(['completion', shell])).stdout)
    return path
  }

  test.runIf(needs(has('bash'), 'bash'))('bash fills COMPREPLY with commands, names of the node, and files', async () => {
    const path = await script('bash')
    const reply = (...line: string[]): string => `COMP_WORDS=(elder-node ${line.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${line.length}; _elder_node elder-node; printf '%s|' "\${COMPREPLY[@]}"; echo;`
    const out = await run('bash', ['--norc', '-c', `source ${path}; ${reply('stack', 'ver')} ${reply('stack', 'show', '')} ${reply('build', 'some')} complete -p elder-node`])
    expect(out.split('\n')).toEqual(['verify|', 'my-repo|', 'some dir|', 'complete -F _elder_node elder-node', ''])
  })

  test.runIf(needs(has('zsh'), 'zsh'))('zsh offers them with what they are about', async () => {
    const path = await script('zsh')
    const out = await run('zsh', ['-f', '-c', `compdef () { : }; source ${path}; _describe () { print -rl -- "\${(P@)4}" }; _files () { print files }
      words=(elder-node stack ver); CURRENT=3; _elder_node; words=(elder-node build ''); CURRENT=3; _elder_node`])
    expect(out.split('\n')).toEqual(['verify:prove it: feeds on the disk, other devices, remotes', 'files', ''])
  })

  test.runIf(needs(has('fish'), 'fish'))('fish completes a line', async () => {
    const path = await script('fish')
    const out = await run('fish', ['--no-config', '-c', `source ${path}; complete -C 'elder-node evict m'`])
    expect(out).toContain('mini\tbuilder, online\n')
  })
})
