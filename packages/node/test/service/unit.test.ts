import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { entryOf, UNIT } from '../../src/gateway/service/plan.ts'
import type { Plan, Scope } from '../../src/gateway/service/plan.ts'
import { entryIn, renderUnit } from '../../src/gateway/service/unit.ts'
import { needs } from '../support/when.ts'

const temp = mkdtempSync(join(tmpdir(), 'elder-unit-'))
afterAll(() => { rmSync(temp, { recursive: true, force: true }) })

function planOf (scope: Scope, more: Partial<Plan> = {}): Plan {
  return {
    scope, unitName: UNIT, unitPath: join(temp, UNIT), versions: join(temp, 'versions'), dir: join(temp, 'data'), user: scope === 'system' ? 'elder-node' : undefined,
    ticketPath: join(temp, 'ticket'), version: '0.1.0', node: process.execPath, ticket: true, engine: 'auto', ...more,
  }
}
const PLANS: Array<[string, Plan]> = (['user', 'system'] as const).flatMap(scope => ['auto', 'process', 'sandbox', 'docker', 'none'].flatMap(engine => [true, false].map((ticket): [string, Plan] => [`${scope}, engine ${engine}${ticket ? ', ticket' : ''}`, planOf(scope, { engine, ticket })])))

test.each(PLANS)('%s: restarts always, stops in order, has no ticket in argv and nothing that ends V8', (_name, plan) => {
  const unit = renderUnit(plan)
  for (const line of ['Type=exec', 'Restart=always', 'RestartPreventExitStatus=0', 'RestartSec=10s', 'KillMode=mixed', 'UMask=0077']) expect(unit.split('\n')).toContain(line)
  expect(unit).not.toMatch(/MemoryDenyWriteExecute/)
  expect(entryIn(unit)).toBe(entryOf(plan))
  expect(unit.includes('--ticket-file')).toBe(plan.ticket)
  expect(/^LoadCredential=ticket:/m.test(unit)).toBe(plan.ticket && plan.scope === 'system')
  // What locks the node in would lock its builds in too, where they are its children.
  const apart = plan.scope === 'system' && ['docker', 'none'].includes(plan.engine)
  for (const line of ['ProtectSystem=strict', 'RestrictNamespaces=yes', 'MemoryHigh=512M']) expect(unit.split('\n').includes(line)).toBe(apart)
})

test.each(['none\nUser=root\nExecStartPre=/bin/sh -c id', 'process"\n\n[Service]', 'a\u2028b', ''])('the engine of a settings.json that its service may write adds no line to a unit that root writes: %j', (engine) => {
  expect(() => renderUnit(planOf('system', { engine }))).toThrow(expect.objectContaining({ code: 'SETTING_VALUE' }))
})

test('paths of a list hold no word of ExecStart', () => {
  expect(renderUnit(planOf('system', { engine: 'docker', dir: '/srv/a$b c' })).split('\n')).toContain('ReadWritePaths="/srv/a$b c" /tmp /var/tmp')
})

test('the group docker is said to be as good as root', () => {
  expect(renderUnit(planOf('system', { engine: 'docker' }), { groups: ['docker'] })).toMatch(/^SupplementaryGroups=docker$[^]*as good as root/m)
})

describe('paths', () => {
  test.each(['a b', '100%n', 'a$HOME', 'häuser;ls'])('%s stands for itself', (name) => {
    const plan = planOf('user', { dir: join(temp, name), versions: join(temp, name, 'versions'), ticket: false })
    const unit = renderUnit(plan)
    expect(entryIn(unit)?.replaceAll('$$', '$')).toBe(entryOf(plan))
    expect(unit).not.toMatch(/[^%]%n/)
  })

  test.each(['a"b', "a'b", 'a\nExecStartPre=/bin/sh', 'a\\b'])('%j is refused', (name) => {
    expect(() => renderUnit(planOf('system', { dir: join(temp, name) }))).toThrow(expect.objectContaining({ code: 'SERVICE_PATH' }))
  })
})

const there = spawnSync('systemd-analyze', ['--version']).status === 0

describe.runIf(needs(there, 'systemd-analyze'))('systemd-analyze verify', () => {
  const verify = (scope: Scope, unit: string): { status: number | null, said: string } => {
    const path = join(temp, UNIT)
    writeFileSync(path, unit)
    const { status, stdout, stderr } = spawnSync('systemd-analyze', [...scope === 'user' ? ['--user'] : [], '--man=no', 'verify', path], { encoding: 'utf8', env: { ...process.env, XDG_RUNTIME_DIR: temp } })
    // Of this machine's own units it may say what it likes.
    return { status, said: (stdout + stderr).split('\n').filter(line => line.includes('elder-node')).join('\n') }
  }

  test.each(PLANS.filter(([, { ticket, engine }]) => ticket && engine !== 'process' && engine !== 'none'))('%s', (_name, plan) => {
    expect(verify(plan.scope, renderUnit(plan))).toEqual({ status: 0, said: '' })
  })

  test('a planted mistake is found', () => {
    const plan = planOf('system')
    expect(verify('system', renderUnit(plan).replace('Type=exec', 'Type=wrong')).said).toContain('Type=wrong'.slice(5))
  })

  test('a path with a blank and a percent sign', () => {
    const plan = planOf('user', { node: join(temp, '5% of node') })
    mkdirSync(dirname(plan.node), { recursive: true })
    writeFileSync(plan.node, '#!/bin/sh\n', { mode: 0o755 })
    expect(verify('user', renderUnit(plan))).toEqual({ status: 0, said: '' })
  })
})
