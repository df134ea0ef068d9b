/** A git server on loopback and folders for caches, cleaned up after each test of the file that imports it. */
import { mkdtempSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, vi } from 'vitest'
import { serveGit, type GitServer, type GitServerInit } from '../../src/git/index.ts'

// A dozen git processes per test, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000 })

const cleanups: Array<() => unknown> = []
afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup() })

export function cleanUp (step: () => unknown): void { cleanups.push(step) }

export function folder (): string {
  const dir = mkdtempSync(join(tmpdir(), 'elder-git-'))
  cleanUp(() => { rmSync(dir, { recursive: true, force: true }) })
  return dir
}

/** `repository`: the bare one behind `url`, below `root`. */
export async function server (init: Omit<GitServerInit, 'root'> = {}): Promise<{ server: GitServer, url: string, root: string, repository: string }> {
  const root = folder()
  const started = await serveGit({ root, ...init })
  cleanUp(() => started.close())
  return { server: started, url: await started.create('memory.git'), root, repository: join(root, 'memory.git') }
}

/** Its address on loopback; closed after the test. */
export async function listening (http: Server): Promise<string> {
  await new Promise<void>(resolve => { http.listen(0, '127.0.0.1', resolve) })
  cleanUp(() => new Promise(resolve => {
    http.closeAllConnections()
    http.close(resolve)
  }))
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`
}
