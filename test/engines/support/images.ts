/** Images for tests, made of this machine's own files: busybox, perl (system calls without a compiler), Node. No registry. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'

export interface ImageRecipe { name: string, /** Programs of this machine, with the libraries they load. */ programs?: string[], /** Executable texts by path. */ scripts?: Record<string, string> }

const BUSYBOX = '/bin/busybox'

/** Whether this machine has what images are made of. */
export const canMakeImages: boolean = existsSync(BUSYBOX) && existsSync('/usr/bin/ldd')

/** Imports a root file system with busybox and the given programs. */
export async function importImage (socketPath: string, { name, programs = [], scripts = {} }: ImageRecipe): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'elder-image-'))
  try {
    chmodSync(root, 0o755)
    for (const dir of ['bin', 'usr/bin', 'etc', 'root', 'tmp', 'var/tmp', 'lib', 'proc', 'sys', 'dev', 'run']) mkdirSync(join(root, dir), { recursive: true })
    for (const dir of ['tmp', 'var/tmp']) chmodSync(join(root, dir), 0o1777)
    writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
    copyFileSync(BUSYBOX, join(root, 'bin/busybox'))
    for (const applet of execFileSync(BUSYBOX, ['--list'], { encoding: 'utf8' }).split('\n').filter(Boolean)) if (applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet))
    for (const program of programs) addProgram(root, realpathSync(program), basename(program))
    for (const [path, text] of Object.entries(scripts)) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), text, { mode: 0o755 })
    }
    await send(socketPath, root, name)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** Not an error when there is none. */
export async function removeImage (socketPath: string, name: string): Promise<void> {
  const asked = request({ socketPath, method: 'DELETE', path: `/images/${encodeURIComponent(name)}?force=1` }).end()
  const [reply] = await once(asked, 'response') as [IncomingMessage]
  reply.resume()
  await once(reply, 'end')
}

function addProgram (root: string, program: string, name: string): void {
  rmSync(join(root, 'bin', name), { force: true })
  copyFileSync(program, join(root, 'usr/bin', name))
  const libraries = execFileSync('/usr/bin/ldd', [program], { encoding: 'utf8' }).match(/\/\S+/g) ?? []
  for (const library of libraries.filter(path => existsSync(path))) {
    const to = join(root, library)
    mkdirSync(dirname(to), { recursive: true })
    copyFileSync(realpathSync(library), to)
  }
}

async function send (socketPath: string, root: string, name: string): Promise<void> {
  const [repo = name, tag = 'latest'] = name.split(':')
  const tar = spawn('tar', ['-C', root, '-c', '.'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const asked = request({ socketPath, method: 'POST', path: `/images/create?fromSrc=-&repo=${encodeURIComponent(repo)}&tag=${tag}`, headers: { 'Content-Type': 'application/x-tar' } })
  tar.stdout.pipe(asked)
  const [reply] = await once(asked, 'response') as [IncomingMessage]
  let text = ''
  for await (const chunk of reply.setEncoding('utf8') as AsyncIterable<string>) text += chunk
  if (reply.statusCode !== 200 || text.includes('"error"')) throw new Error(`import of ${name} failed: ${text.slice(0, 500)}`)
}
