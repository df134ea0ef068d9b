import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ProcessEngine } from '../src/adapters/engine-process/engine.ts'
import { BuildEnvironment, readableByAll } from '../src/adapters/environment.ts'
import { hasMore, safeLines, withoutUser } from '../src/adapters/npm-settings.ts'
import { collect, newId, specOf } from './engine/acceptance.ts'

const base = mkdtempSync(join(tmpdir(), 'elder-env-'))
await chmod(base, 0o711)
afterAll(() => { rmSync(base, { recursive: true, force: true }) })
const SYSTEM = '/usr/local/bin:/usr/bin:/bin'

test.each([
  ['http://me:canary@p.test:3128', 'http://p.test:3128'], ['http://me:can@ary@p.test', 'http://p.test'], ['me:canary@p.test:3128', 'p.test:3128'], ['canary@p.test', 'p.test'],
  ['"https://me:canary@p.test/"', '"https://p.test/"'], ["'me:canary@p.test'", "'p.test'"], [' https://canary@p.test/@own/x', ' https://p.test/@own/x'],
  ['https://p.test/@own', 'https://p.test/@own'], ['localhost,.own.test', 'localhost,.own.test'],
])('%s travels as %s', (text, bare) => { expect(withoutUser(text)).toBe(bare) })

test('lines of an npmrc lose the user in quotes too', () => {
  expect(safeLines('registry="https://me:canary@x.test/"\nproxy=me:canary@p.test:1\n@own:registry = https://${T}@o.test/', { T: 'canary' })).toEqual(['registry="https://x.test/"', 'proxy=p.test:1', '@own:registry=https://o.test/'])
})

describe('environment of a build', () => {
  test('is made anew: nothing of the node\'s, no package\'s tools in PATH, proxies without passwords, the requester\'s names on top', async () => {
    const checkout = join(base, 'checkout')
    const env = {
      PATH: `${checkout}/node_modules/.bin:${checkout}/bin:relative:/usr/bin:/x/node_modules/.bin/:/bin:/usr/bin`, HOME: base, LANG: 'de_DE.UTF-8',
      SECRET_TOKEN: 'canary', HTTPS_PROXY: 'http://user:canary@proxy.test:3128', NO_PROXY: 'localhost', npm_config__authToken: 'canary', npm_config_userconfig: join(base, 'none'),
    }
    const built = await new BuildEnvironment({ dir: join(base, 'files1'), separateUsers: false, env, exclude: [checkout] }).build({ CI: '1', LANG: 'C' })
    expect(built).toMatchObject({ PATH: '/usr/bin:/bin', LANG: 'C', TERM: 'dumb', CI: '1', HTTPS_PROXY: 'http://proxy.test:3128', NO_PROXY: 'localhost' })
    expect(JSON.stringify(built)).not.toContain('canary')
    expect(Object.keys(built).filter(name => !/^(npm_config_(registry|cafile|globalconfig)|PATH|LANG|TERM|CI|HTTPS_PROXY|NO_PROXY)$/.test(name))).toEqual([])
  })

  test('certificates and settings that a build\'s user cannot read are copied; tokens are not', async () => {
    const closed = join(base, 'closed')
    await mkdir(closed, { mode: 0o700 })
    await writeFile(join(closed, 'ca.pem'), 'CERT')
    await writeFile(join(closed, 'npmrc'), 'registry=https://me:canary@packages.test/\n//packages.test/:_authToken=canary\n@own:registry=https://own.test/\n_password = canary\nalways-auth=true\n')
    const env = { PATH: SYSTEM, HOME: closed, NODE_EXTRA_CA_CERTS: join(closed, 'ca.pem'), GIT_SSL_CAINFO: join(closed, 'missing.pem'), SSL_CERT_DIR: closed, npm_config_userconfig: join(closed, 'npmrc'), npm_config_cafile: join(closed, 'ca.pem') }
    const built = await new BuildEnvironment({ dir: join(base, 'files2'), separateUsers: true, env }).build({})
    expect(built['GIT_SSL_CAINFO']).toBeUndefined()
    expect(built['SSL_CERT_DIR']).toBeUndefined()
    expect(await readFile(built['NODE_EXTRA_CA_CERTS'] ?? '', 'utf8')).toBe('CERT')
    expect((await stat(built['NODE_EXTRA_CA_CERTS'] ?? '')).mode & 0o777).toBe(0o644)
    expect(built['npm_config_cafile']).toBe(built['NODE_EXTRA_CA_CERTS'])
    expect(built['npm_config_registry']).toBe('https://packages.test/')
    const config = await readFile(built['npm_config_globalconfig'] ?? '', 'utf8')
    expect(config).toContain('@own:registry=https://own.test/')
    expect(config).not.toMatch(/canary|auth|password/)
    for (const name of ['NODE_EXTRA_CA_CERTS', 'npm_config_globalconfig']) expect(await readableByAll(built[name] ?? '')).toBe(true)
  })

  test('builds in images get the image\'s PATH and copies of files and folders, wherever the originals lie', async () => {
    const open = join(base, 'open')
    await mkdir(join(open, 'certs/sub'), { recursive: true })
    await writeFile(join(open, 'ca.pem'), 'CERT')
    await symlink('../ca.pem', join(open, 'certs/hash.0'))
    await symlink('nowhere', join(open, 'certs/broken'))
    const env = { PATH: SYSTEM, HOME: open, LANG: 'de_DE.UTF-8', SSL_CERT_FILE: join(open, 'ca.pem'), SSL_CERT_DIR: join(open, 'certs'), npm_config_userconfig: join(open, 'none') }
    const dir = join(base, 'files3')
    const built = await new BuildEnvironment({ dir, separateUsers: true, images: true, env }).build({ CI: '1' })
    expect(built['PATH']).toBeUndefined()
    expect(built['LANG']).toBe('C.UTF-8')
    for (const name of ['SSL_CERT_FILE', 'SSL_CERT_DIR']) expect(dirname(built[name] ?? '')).toBe(dir)
    expect(await readdir(built['SSL_CERT_DIR'] ?? '')).toEqual(['hash.0'])
    expect(await readFile(join(built['SSL_CERT_DIR'] ?? '', 'hash.0'), 'utf8')).toBe('CERT')
    for (const name of ['SSL_CERT_FILE', 'SSL_CERT_DIR']) expect(await readableByAll(built[name] ?? '')).toBe(true)
  })

  test('lines of an npmrc', () => {
    const text = '; comment\n registry = https://r.test/ \n//r.test/:_authToken=x\ncafile=${CA}\nca[]="pem"\nunknown=1\nproxy=http://u:p@proxy.test\n'
    expect(safeLines(text, { CA: '/ca.pem' })).toEqual(['registry=https://r.test/', 'cafile=/ca.pem', 'ca[]="pem"', 'proxy=http://proxy.test'])
    expect([hasMore('registry=https://r.test/\n# _auth=1\n'), hasMore('_auth=1'), hasMore('registry=https://u:p@r.test/')]).toEqual([false, true, true])
    expect(withoutUser('https://u:p@h/p@th')).toBe('https://h/p@th')
  })

  test('npm works as a build\'s user in a fresh tree', { timeout: 60_000 }, async context => {
    const root = join(base, 'root')
    const engine = new ProcessEngine({ dataDir: base, root })
    await engine.check()
    const env = await new BuildEnvironment({ dir: join(root, 'shared'), separateUsers: await engine.separateUsers() }).build({})
    const tree = await engine.createTree(newId(), 0)
    const { exit, text } = await collect(engine.run(specOf(tree, ['npm', 'view', 'is-number', 'version', '--fetch-retries=0', '--fetch-timeout=10000', '--no-update-notifier'], { env }), { signal: AbortSignal.timeout(45_000) }))
    await engine.removeTree(tree)
    await engine.close()
    if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH/.test(text) || exit.exitCode === 127) {
      console.log(`skipped: no registry within reach, or no npm: ${text.slice(0, 200)}`)
      context.skip('no registry within reach, or no npm')
    }
    expect(exit.exitCode, text).toBe(0)
    expect(text).toMatch(/^\d+\.\d+\.\d+$/m)
  })
})
