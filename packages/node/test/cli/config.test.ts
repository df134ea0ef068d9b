import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NodeInit } from '../../src/config.ts'
import { SETTINGS } from '../../src/device-config/catalogue.ts'
import { nearest } from '../../src/device-config/nearest.ts'
import { textOf, valueOf, withSettings } from '../../src/device-config/resolve.ts'
import { takeLock } from '../../src/adapters/lock.ts'
import { Desk } from '../support/cli.ts'

let desk: Desk
beforeEach(() => { desk = new Desk() })
afterEach(() => desk[Symbol.asyncDispose]())
const file = (): string => join(desk.dir, 'settings.json')
const kept = (): unknown => JSON.parse(readFileSync(file(), 'utf8'))

describe('config, without a node', () => {
  test('set keeps the value as JSON for its owner alone; get prints it; unset takes it back', async () => {
    expect((await desk.run(['config', 'set', 'slots', '2'])).stdout).toBe('slots = 2\n')
    await desk.run(['config', 'set', 'announce', '/ip4/100.64.0.7/tcp/4707', '/dns4/mini.lan/tcp/4707'])
    await desk.run(['config', 'set', 'limits.memory', '4g'])
    expect(kept()).toEqual({ announce: ['/ip4/100.64.0.7/tcp/4707', '/dns4/mini.lan/tcp/4707'], 'limits.memory': '4g', slots: 2 })
    expect(statSync(file()).mode & 0o777).toBe(0o600)
    expect((await desk.run(['config', 'get', 'slots'])).stdout).toBe('2\n')
    await desk.run(['config', 'unset', 'slots'])
    expect((await desk.run(['config', 'get', 'slots', '--json'])).json()[0]).toMatchObject({ schema: 'elder/config.v1', key: 'slots', value: null, source: 'default', env: 'ELDER_NODE_SLOTS', applies: 'next start' })
    expect(kept()).not.toHaveProperty('slots')
  })

  test('list --sources says where each value comes from, within 80 columns', async () => {
    await desk.run(['config', 'set', 'slots', '2'])
    const { stdout } = await desk.run(['config', 'list', '--sources'], { env: { ELDER_NODE_ENGINE: 'process' } })
    expect(stdout).toMatch(/^slots +2 +settings\.json$/m)
    expect(stdout).toMatch(/^engine +process +ELDER_NODE_ENGINE$/m)
    expect(stdout).toMatch(/^mirror\.idle +30s +default$/m)
    expect(Math.max(...stdout.split('\n').map(line => line.length))).toBeLessThanOrEqual(80)
  })

  test('the environment goes before the file, and set says so', async () => {
    const { stderr, stdout } = await desk.run(['config', 'set', 'slots', '2'], { env: { ELDER_NODE_SLOTS: '5' } })
    expect(stdout).toBe('slots = 5\n')
    expect(stderr).toContain('ELDER_NODE_SLOTS')
  })

  test('while a node runs, set says when it holds', async () => {
    const lock = takeLock(join(desk.dir, 'lock'))
    expect((await desk.run(['config', 'set', 'slots', '2'])).stderr).toContain('next start')
    expect((await desk.run(['config', 'set', 'recovery.saved', 'yes'])).stderr).toBe('')
    lock.release()
  })

  test.each([
    [['set', 'slot', '2'], 'SETTING_UNKNOWN', 'slots'], [['set', 'memory', '2g'], 'SETTING_UNKNOWN', 'limits.memory'], [['get', 'zzzzzzzz'], 'SETTING_UNKNOWN', 'config list'],
    [['set', 'slots', 'many'], 'SETTING_VALUE', 'slots 2'], [['set', 'slots', '-1'], 'SETTING_VALUE', 'slots 2'], [['set', 'limits.memory', 'lots'], 'SETTING_VALUE', '2g'],
    [['set', 'listen', '4410'], 'SETTING_VALUE', '/ip4/'], [['set', 'listen', '/ip4/0.0.0.0/tcp/99999'], 'SETTING_VALUE', '/ip4/'], [['set', 'engine', 'rkt'], 'SETTING_VALUE', 'auto'],
    [['set', 'mdns', 'perhaps'], 'SETTING_VALUE', 'yes'], [['set', 'election.explore', '2'], 'SETTING_VALUE', '0.02'],
  ])('%j is a usage error with an example, and nothing is changed', async (words, code, hint) => {
    const { code: exit, json } = await desk.run(['config', ...words, '--json'])
    expect(exit).toBe(2)
    expect(json()[0]).toMatchObject({ schema: 'elder/error.v1', error: { code, fix: expect.stringContaining(hint) as string } })
    expect(existsSync(file())).toBe(false)
  })

  test('a damaged file is named and left as it is; a key of a newer version is kept and said', async () => {
    writeFileSync(file(), '{ "slots": 2,')
    const broken = await desk.run(['config', 'set', 'slots', '3', '--json'])
    expect(broken.code).toBe(1)
    expect(broken.json()[0]).toMatchObject({ error: { code: 'SETTINGS_DAMAGED', message: expect.stringContaining(file()) as string } })
    expect(readFileSync(file(), 'utf8')).toBe('{ "slots": 2,')
    writeFileSync(file(), '{ "slots": "many" }')
    expect((await desk.run(['config', 'list', '--json'])).json()[0]).toMatchObject({ error: { code: 'SETTING_VALUE', message: expect.stringContaining('slots in settings.json: "many"') as string } })
    expect((await desk.run(['doctor', '--json'])).json()[0]).toMatchObject({ checks: expect.arrayContaining([expect.objectContaining({ name: 'settings', status: 'fail', code: 'SETTING_VALUE' })]) as unknown })
    expect((await desk.run(['config', 'set', 'slots', '3', '--json'])).json()[0]).toMatchObject({ value: 3, previous: 'many' })
    writeFileSync(file(), '{ "hologram": true }')
    chmodSync(file(), 0o600)
    await desk.run(['config', 'set', 'slots', '3'])
    expect(kept()).toEqual({ hologram: true, slots: 3 })
    expect((await desk.run(['config', 'list'])).stderr).toContain('hologram')
  })
})

describe('the catalogue', () => {
  test('every setting has a description, an example that parses, and a default that parses', () => {
    for (const setting of SETTINGS) {
      expect(setting.description.length, setting.key).toBeGreaterThan(10)
      const example = valueOf(setting, setting.type.example)
      const json = setting.type.json?.(example) ?? setting.type.example
      expect(valueOf(setting, textOf(json)), setting.key).toEqual(example)
      if ('value' in setting.byDefault) expect(() => valueOf(setting, textOf('value' in setting.byDefault ? setting.byDefault.value : ''))).not.toThrow()
    }
    expect(new Set(SETTINGS.map(({ env }) => env)).size).toBe(SETTINGS.length)
  })

  test('what a program says goes before the environment, that before the file; parts of one field are joined', () => {
    const stored = { slots: 1, name: 'file', 'mirror.idle': '10s', 'mirror.max': '1m', 'limits.memory': '1g', 'limits.cpus': 2 }
    const env = { ELDER_NODE_SLOTS: '2', ELDER_NODE_NAME: 'env', ELDER_NODE_LIMITS_CPUS: '' }
    const init: NodeInit = withSettings({ name: 'flag', mirrorDelayMs: { max: 5 } }, env, stored)
    expect(init).toMatchObject({ name: 'flag', slots: 2, mirrorDelayMs: { idle: 10_000, max: 5 }, limits: { memoryBytes: 2 ** 30, cpus: 2 } })
    expect(init).not.toHaveProperty('engine')
    expect(() => withSettings({}, { ELDER_NODE_SLOTS: 'many' }, {})).toThrow(/ELDER_NODE_SLOTS: "many"/)
    expect(() => withSettings({}, {}, { slots: 'many' })).toThrow(/slots in settings.json/)
  })

  test('nearest names what was meant, and nothing when nothing is near', () => {
    expect(nearest('slotz', ['slots', 'name'])).toBe('slots')
    expect(nearest('explore', ['election.explore', 'engine'])).toBe('election.explore')
    expect(nearest('hologram', ['slots', 'name'])).toBeUndefined()
  })
})
