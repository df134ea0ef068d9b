import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Desk } from '../support/cli.ts'
import { needs } from '../support/when.ts'

const home = mkdtempSync(join(tmpdir(), 'elder-home-'))
let desk: Desk
beforeAll(() => { desk = new Desk() })
afterAll(async () => {
  await desk[Symbol.asyncDispose]()
  rmSync(home, { recursive: true, force: true })
})
const service = async (line: string): ReturnType<Desk['run']> => await desk.run(['service', ...line.split(' ')], { env: { HOME: home } })

describe.runIf(needs(process.platform === 'linux', 'Linux'))('service', () => {
  test.each([['--print', 'user', '.config/systemd/user/elder-node.service'], ['--dry-run', 'user', '.config/systemd/user/elder-node.service']])('install %s shows the unit and writes nothing', async (flag, scope, unit) => {
    const { code, json } = await service(`install ${flag} --json --slots 2`)
    expect({ code, document: json()[0] }).toMatchObject({ code: 0, document: { schema: 'elder/service.v1', action: 'print', scope, unitPath: join(home, unit), dir: desk.dir, unit: expect.stringContaining('Restart=always') } })
    const people = await service(`install ${flag}`)
    expect(people.stdout).toMatch(/^\[Unit\]\n[^]*\nExecStart=[^]*WantedBy=default\.target\n$/)
    expect(existsSync(join(home, '.config'))).toBe(false)
  })

  test('--system has its own places, unless --dir says where', async () => {
    const { json } = await desk.run(['service', 'install', '--system', '--print', '--json'], { env: { HOME: home, ELDER_NODE_DIR: '' } })
    expect(json()[0]).toMatchObject({ scope: 'system', unitPath: '/etc/systemd/system/elder-node.service', dir: '/var/lib/elder-node/node', unit: expect.stringContaining('User=elder-node') })
    expect((await service('install --system --print --json')).json()[0]).toMatchObject({ dir: desk.dir })
  })

  test.each([
    ['install --slots many', 2, 'SETTING_VALUE'],
    ['install --engine magic', 2, 'SETTING_VALUE'],
    ['install --ticket-file /nowhere/ticket', 1, 'NO_SUCH_FILE'],
    ['install extra', 2, 'USAGE'],
    ['install --print --dir /tmp/a"b', 1, 'SERVICE_PATH'],
    ['restart', 2, 'USAGE'],
  ])('%s ends with %i and %s, and nothing is written', async (line, exit, error) => {
    const { code, json } = await service(`${line} --json`)
    expect({ code, document: json()[0] }).toMatchObject({ code: exit, document: { error: { code: error, fix: expect.stringMatching(/./) } } })
    expect(existsSync(join(home, '.config'))).toBe(false)
  })

  test('status and remove where nothing is installed', async () => {
    expect((await service('status --json')).json()[0]).toMatchObject({ schema: 'elder/service.v1', action: 'status', installed: false, version: null, versions: [] })
    expect((await service('status')).stdout).toContain('elder-node service install')
    expect(await service('remove')).toMatchObject({ code: 0, stdout: 'no service was installed\n' })
  })
})
