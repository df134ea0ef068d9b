/** `service install` from the installed packages: its copy starts when everything that npm installed is gone. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { binOf, folderOf, install, run, say, startProgram } from './support.mjs'

export async function checkService (work, tarballs, cache) {
  if (process.platform !== 'linux') return say(`skipped: service: ${process.platform} has no systemd`)
  if (existsSync('/run/systemd/system')) return say('skipped: service: systemd runs here, and a test does not install into it')
  const home = join(work, 'home')
  const folder = folderOf(work, 'npx-cache')
  install(folder, tarballs, { cache, offline: true })
  const env = { HOME: home, XDG_CONFIG_HOME: '', XDG_DATA_HOME: '', XDG_STATE_HOME: '', ELDER_NODE_DIR: '' }
  mkdirSync(home)
  const service = (bin, ...args) => JSON.parse(run(process.execPath, [bin, 'service', ...args, '--json'], { cwd: home, env, stdio: ['ignore', 'pipe', 'ignore'] }))

  const printed = service(binOf(folder), 'install', '--print')
  assert.equal(existsSync(printed.unitPath), false, '--print writes nothing')
  const installed = service(binOf(folder), 'install', '--name', 'pi', '--slots', '0', '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0')
  assert.equal(installed.state, 'written')
  assert.ok(installed.commands.includes('systemctl --user enable elder-node.service'), installed.commands.join('\n'))
  service(binOf(folder), 'install')
  rmSync(folder, { recursive: true })

  const line = /^ExecStart=(.*)$/m.exec(readFileSync(installed.unitPath, 'utf8'))[1]
  const [program, ...args] = line.split(' ')
  const ready = await startProgram(program, args, { cwd: home, env })
  assert.equal(ready.device.name, 'pi')
  await ready.stop()

  const entry = args[0]
  const status = service(entry, 'status')
  assert.deepEqual([status.installed, status.versions.length, status.active], [true, 1, 'unknown'])
  service(entry, 'remove', '--purge')
  assert.deepEqual([installed.unitPath, entry, installed.dir].filter(path => existsSync(path)), [])
  say(`service: unit written, its copy of ${status.version} runs without npm's folders, removed with its data`)
}
