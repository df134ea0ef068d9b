import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openNodeLog } from '../../src/gateway/cli/node-log.ts'

const CANARY = 'canary2222222222222222222222'

function lineOf (what: object | string, message?: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'elder-log-'))
  onTestFinished(() => { rmSync(dir, { recursive: true, force: true }) })
  const path = join(dir, 'node.log')
  openNodeLog(path, { verbose: false }).info(what, message)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  return readFileSync(path, 'utf8')
}

test.each<[string, object | string, string?]>([
  ['a ticket in a field', { ticket: CANARY }],
  ['a ticket in a message', `joined with elder1${CANARY}`],
  ['a recovery text below', { made: { text: `elder-recovery1${CANARY}` } }],
  ['a recovery field', { node: { recovery: CANARY } }],
  ['the seed of a key', { identity: { seed: CANARY } }],
  ['the environment of a build', { env: { TOKEN: CANARY } }],
  ['the user and password of a remote', { err: new Error(`fatal: unable to access 'https://me:${CANARY}@git.example.org/x.git/'`) }],
  ['a token as the user of a remote', 'ok', `push to https://${CANARY}@git.example.org/x.git`],
  ['a password with an @', 'ok', `push to https://me:a@${CANARY}@git.example.org/x.git`],
  ['a token of a thousand letters', 'ok', `push to https://me:${CANARY.repeat(40)}@git.example.org/x.git`],
  ['a ticket that was read off a screen', `joined with ELDER1${CANARY}`],
  ['a proxy', { proxy: `http://${CANARY}:${CANARY}@10.0.0.1:3128` }],
  ['a private key', `-----BEGIN OPENSSH PRIVATE KEY-----\n${CANARY}\n-----END OPENSSH PRIVATE KEY-----`],
])('%s does not reach the log', (_what, what, message) => {
  const line = lineOf(what, message)
  expect(line).not.toContain(CANARY)
  expect(JSON.parse(line)).toMatchObject({ level: 30 })
})

test('a line of megabytes is cut, is JSON still, and holds no secret by its cut', () => {
  const line = lineOf({ names: 'x'.repeat(3_000_000) }, `push to https://me:${CANARY}@host/ ${'y'.repeat(50_000)}`)
  expect(line.length).toBeLessThan(4096)
  expect(line).not.toContain(CANARY)
  expect(JSON.parse(line)).toMatchObject({ level: 30, cutFrom: expect.any(Number) as number, msg: expect.stringContaining('push to https://***@host/ yyy') as string })
})

test('what is no secret stays as it is', () => {
  const fields = { trace: '4bf92f3577b34da6a3ce929d0e0e4736', url: 'https://git.example.org/me/x.git', device: 'elder1 is a prefix', from: 'a@b' }
  expect(JSON.parse(lineOf(fields, 'see ssh://git.example.org:22/x'))).toMatchObject({ ...fields, msg: 'see ssh://git.example.org:22/x' })
})
