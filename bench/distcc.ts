/** The peer for many small jobs: distcc with as many hosts and slots as our builders, all on loopback. */
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePorts } from './ports.ts'
import { sleep } from './stats.ts'

export interface DistccInit { hosts: number, slotsPerHost: number, jobs: number, parallel: number }

const run = promisify(execFile)

/** Compilations of `int x;` a second: through distcc, and by the same compiler here. */
export async function measureDistcc ({ hosts, slotsPerHost, jobs, parallel }: DistccInit): Promise<{ remotePerS: number, localPerS: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'elder-distcc-'))
  const ports = await freePorts(hosts)
  const servers = ports.map(port => spawn('distccd', [
    '--no-detach', '--daemon', '--allow', '127.0.0.1', '--listen', '127.0.0.1', '--port', String(port), '-j', String(slotsPerHost), '--enable-tcp-insecure', '--log-file', join(dir, `log.${port}`),
    // As root it becomes the user distcc, which cannot enter every TMPDIR.
  ], { stdio: 'ignore', env: { ...process.env, TMPDIR: '/tmp' } }))
  const env = { ...process.env, DISTCC_DIR: dir, DISTCC_FALLBACK: '0', DISTCC_HOSTS: ports.map(port => `127.0.0.1:${port}/${slotsPerHost}`).join(' ') }
  try {
    writeFileSync(join(dir, 'x.c'), 'int x;\n')
    await Promise.all(ports.map(listening))
    const perS = async (command: string, args: string[]): Promise<number> => {
      await run(command, [...args, '-c', 'x.c', '-o', 'warm.o'], { cwd: dir, env })
      const from = performance.now()
      let left = jobs
      const worker = async (_: unknown, i: number): Promise<void> => { while (left-- > 0) await run(command, [...args, '-c', 'x.c', '-o', `${i}.o`], { cwd: dir, env }) }
      await Promise.all(Array.from({ length: parallel }, worker))
      return jobs / (performance.now() - from) * 1000
    }
    const localPerS = await perS('gcc', [])
    return { remotePerS: await perS('distcc', ['gcc']), localPerS }
  } finally {
    for (const server of servers) server.kill('SIGTERM')
    await Promise.all(servers.map(server => server.exitCode ?? new Promise(resolve => { server.once('exit', resolve) })))
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  }
}

async function listening (port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const open = await new Promise(resolve => {
      const socket = connect(port, '127.0.0.1', () => { resolve(true) })
      socket.once('error', () => { resolve(false) })
      socket.once('connect', () => { socket.destroy() })
    })
    if (open === true) return
    await sleep(50)
  }
  throw new Error(`distccd does not listen on port ${port}`)
}
