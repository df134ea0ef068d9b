/** What a container engine decides and how it speaks, against a daemon made of a page of code. Real daemons: test/engines. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { DiskWatch } from '../src/adapters/disk-watch.ts'
import type { DaemonInfo } from '../src/adapters/engine-container/client.ts'
import { containerConfig, limitsText, type ContainerInput } from '../src/adapters/engine-container/container-config.ts'
import { demultiplex } from '../src/adapters/engine-container/demultiplex.ts'
import { DaemonSocket } from '../src/adapters/engine-container/http.ts'
import { ContainerEngine } from '../src/adapters/engine-container/engine.ts'
import { identityOf } from '../src/adapters/engine-container/identity.ts'
import { buildImage, findImage } from '../src/adapters/engine-container/images.ts'
import { ContainerClient } from '../src/adapters/engine-container/client.ts'
import { LastWords } from '../src/adapters/engine-container/last-words.ts'
import { cgroupPaths } from '../src/adapters/engine-container/limit-watch.ts'
import { failureOf, textOf } from '../src/adapters/engine-container/progress.ts'
import { parseImage } from '../src/adapters/engine-container/reference.ts'
import { tightened, type SeccompProfile } from '../src/adapters/engine-container/seccomp.ts'
import { findDaemon, socketCandidates } from '../src/adapters/engine-container/sockets.ts'
import { tarOf } from '../src/adapters/engine-container/tar.ts'
import { specOf } from './engine/acceptance.ts'

const base = mkdtempSync(join(tmpdir(), 'elder-container-'))
const servers: Server[] = []
afterAll(() => {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
  rmSync(base, { recursive: true, force: true })
})

/** @returns the path of its socket */
async function daemon (answer: RequestListener): Promise<string> {
  const path = join(base, `${servers.length}.sock`)
  const server = createServer(answer)
  servers.push(server)
  await new Promise<void>(resolve => { server.listen(path, resolve) })
  return path
}
const says = (body: unknown, status = 200): RequestListener => (_request, reply) => { reply.writeHead(status).end(JSON.stringify(body)) }

const INFO: DaemonInfo = { ServerVersion: '1', OperatingSystem: 'x', NCPU: 2, MemTotal: 2 ** 33, MemoryLimit: true, SwapLimit: true, PidsLimit: true, CpuCfsQuota: true, CgroupDriver: 'systemd', CgroupVersion: '2', SecurityOptions: ['name=seccomp,profile=default'] }
const input = (more: Partial<ContainerInput> = {}): ContainerInput => ({
  engine: 'docker', spec: specOf('/root/b.0/tree', ['npm', 'test'], { id: 'build-1', env: { CI: '1' }, sealed: true }), cwd: 'packages/a', image: 'node:24', volumes: [], info: INFO, seccomp: undefined, node: 'n',
  identity: { user: '70000:70000', separate: true, keepId: false }, network: 'default', tree: '/root/b.0/tree', home: '/root/b.0/home', tmp: '/root/b.0/tmp', readOnly: { '/etc/passwd': '/root/b.0/passwd' }, ...more,
})
interface Config { Env: string[], User: string, Entrypoint: string[], WorkingDir: string, HostConfig: Record<string, unknown> & { NetworkMode: string, SecurityOpt: string[], Tmpfs: Record<string, string>, Binds?: string[], Mounts?: Array<{ Source: string }> } }
const config = (more: Partial<ContainerInput> = {}): Config => containerConfig(input(more)) as Config

describe('what is asked of the daemon', () => {
  test('the hardening, whole', () => {
    expect(config()).toMatchSnapshot()
  })

  test('no container ever gets a daemon\'s socket, a privilege or another namespace of the host than a network its owner allows', () => {
    for (const engine of ['docker', 'podman'] as const) {
      for (const sealed of [true, false]) {
        const { HostConfig, Entrypoint } = config({ engine, spec: { ...input().spec, sealed } })
        expect(JSON.stringify(HostConfig)).not.toContain('.sock')
        expect(HostConfig).toMatchObject({ Privileged: false, CapDrop: ['ALL'], CapAdd: [], ReadonlyRootfs: true, IpcMode: 'private', PidMode: '' })
        expect(HostConfig.NetworkMode).toBe(sealed ? 'none' : 'default')
        expect(Entrypoint).toEqual(['npm', 'test'])
      }
    }
  })

  test('volumes of an image become memory of a bounded size, and none can hide the tree', () => {
    expect(Object.keys(config({ volumes: ['/data', '/elder/tree', '/elder', '/', '/tmp', '/var/../elder/home', 'relative'] }).HostConfig.Tmpfs)).toEqual(['/tmp', '/data'])
  })

  test('only limits that the daemon can hold are asked; the others are named', () => {
    const weak = { ...INFO, MemoryLimit: false, PidsLimit: false, CpuCfsQuota: false }
    const { HostConfig } = config({ info: weak })
    for (const name of ['Memory', 'MemorySwap', 'NanoCpus', 'PidsLimit']) expect(HostConfig).not.toHaveProperty(name)
    expect(limitsText(weak)).toBe('limits: disk; not limited here: memory, CPU, processes')
    expect(config({ spec: { ...input().spec, limits: { ...input().spec.limits, cpus: 64 } } }).HostConfig['NanoCpus']).toBe(2e9)
  })

  test('under SELinux the folders are labelled for the container', () => {
    const { Binds, Mounts } = config({ info: { ...INFO, SecurityOptions: ['name=selinux'] } }).HostConfig
    expect(Mounts).toBeUndefined()
    expect(Binds).toContain('/root/b.0/tree:/elder/tree:Z')
    expect(Binds).toContain('/root/b.0/passwd:/etc/passwd:ro,z')
  })

  test('who a build is', () => {
    const user = { uid: 1000, gid: 1000 }
    const facts = { rootless: false, remapped: false }
    expect(identityOf({ uid: 0, gid: 0 }, { name: 'docker', ...facts }, 70_003)).toMatchObject({ user: '70003:70003', separate: true })
    expect(identityOf(user, { name: 'docker', ...facts }, undefined)).toEqual({ user: '1000:1000', separate: false, keepId: false })
    expect(identityOf(user, { name: 'docker', ...facts, rootless: true }, undefined).user).toBe('0:0')
    expect(identityOf(user, { name: 'podman', ...facts, rootless: true }, undefined)).toEqual({ user: '1000:1000', separate: false, keepId: true })
    expect(() => identityOf(user, { name: 'docker', ...facts, remapped: true }, undefined)).toThrow(/userns-remap/)
    expect(() => identityOf({ uid: 0, gid: 0 }, { name: 'podman', ...facts, rootless: true }, 70_000)).toThrow(/as root/)
  })

  test('Podman\'s filter without namespaces: calls are refused by name, clone by its flags', () => {
    const allowed = { names: ['read', 'clone', 'clone3', 'unshare', 'mount', 'io_uring_setup', 'keyctl'], action: 'SCMP_ACT_ALLOW' }
    const { syscalls } = tightened<SeccompProfile>({ syscalls: [allowed, { names: ['setns'], action: 'SCMP_ACT_ALLOW' }] })
    expect(syscalls[0]?.names).toEqual(['read'])
    const refused = syscalls.filter(rule => rule.action === 'SCMP_ACT_ERRNO')
    expect(refused.map(rule => [rule.errnoRet, rule.names.toSorted()])).toEqual([[1, ['keyctl', 'mount', 'setns', 'unshare']], [38, ['clone3', 'io_uring_setup']]])
    expect(syscalls.at(-1)).toMatchObject({ names: ['clone'], args: [{ op: 'SCMP_CMP_MASKED_EQ', value: 0x7e020000 }] })
  })
})

describe('what a daemon says', () => {
  test('output frames, cut anywhere', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.record({ stream: fc.constantFrom(1, 2), data: fc.uint8Array({ maxLength: 40 }) }), { maxLength: 12 }), fc.integer({ min: 1, max: 17 }), async (frames, size) => {
      const bytes = Buffer.concat(frames.map(({ stream, data }) => Buffer.concat([Buffer.from([stream, 0, 0, 0, 0, 0, 0, data.length]), data])))
      async function * cut (): AsyncGenerator<Uint8Array> { for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size) }
      const got = { 1: [] as Uint8Array[], 2: [] as Uint8Array[] }
      for await (const { stream, data } of demultiplex(cut())) got[stream === 'stdout' ? 1 : 2].push(data)
      for (const stream of [1, 2] as const) expect(Buffer.concat(got[stream])).toEqual(Buffer.concat(frames.filter(frame => frame.stream === stream).map(frame => frame.data)))
    }))
    const bad = async (): Promise<void> => { for await (const _ of demultiplex((async function * () { yield Buffer.from('HTTP/1.1 500') })())) { /* none */ } }
    await expect(bad()).rejects.toThrow(/something else/)
  })

  test('a reply without end is cut off, an error has the daemon\'s words, silence has a deadline', async () => {
    const flood = new DaemonSocket(await daemon((_request, reply) => {
      const more = (): void => { while (!reply.destroyed && reply.write(Buffer.alloc(65_536, 'x'))) { /* until it is held back */ } }
      reply.on('drain', more)
      more()
    }))
    await expect(flood.json('GET', '/info')).rejects.toThrow(/longer than/)
    const sad = new DaemonSocket(await daemon(says({ message: 'no such thing' }, 404)))
    await expect(sad.json('GET', '/x')).rejects.toMatchObject({ status: 404, message: 'no such thing' })
    const mute = new DaemonSocket(await daemon(() => undefined))
    await expect(mute.json('GET', '/x', { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ name: expect.stringMatching(/Timeout|Abort/) as string })
    await expect(new DaemonSocket(join(base, 'none.sock')).json('GET', '/x')).rejects.toMatchObject({ errno: 'ENOENT' })
  })

  test('a line without end and one that is cut in two', async () => {
    const long = new DaemonSocket(await daemon((_request, reply) => { reply.end('x'.repeat(2_000_000)) }))
    const read = async (socket: DaemonSocket): Promise<unknown[]> => { const all = []; for await (const line of socket.lines('POST', '/x', { signal: AbortSignal.timeout(5000) })) all.push(line); return all }
    await expect(read(long)).rejects.toThrow(/line without end/)
    const split = new DaemonSocket(await daemon((_request, reply) => { reply.write('{"a":1}\n{"b"'); setImmediate(() => { reply.end(':2}') }) }))
    expect(await read(split)).toEqual([{ a: 1 }, { b: 2 }])
  })

  test('which daemon it is: by what it says, not by where it listens; each reason in words', async () => {
    const podman = await daemon(says({ Version: '5.0', ApiVersion: '1.41', Components: [{ Name: 'Podman Engine' }] }))
    expect(await findDaemon('docker', [podman], {})).toBe(`${podman} is Podman`)
    expect(await findDaemon('podman', [podman], {})).toMatchObject({ name: 'podman', version: '5.0' })
    expect(await findDaemon('docker', [join(base, 'none.sock')], {})).toContain('no socket at')
    expect(await findDaemon('docker', [base], {})).toContain('is no socket')
    expect(await findDaemon('docker', [podman], { DOCKER_HOST: 'tcp://10.0.0.1:2375' })).toContain('only a unix:// socket')
    const gone = await daemon(says({}))
    await new Promise(resolve => { servers.at(-1)?.close(resolve) })
    expect(await findDaemon('docker', [gone], {})).toMatch(/no socket at|not running/)
  })

  test('sockets are asked for where the owner says, else where they usually are, the user\'s own first', () => {
    expect(socketCandidates('docker', { DOCKER_HOST: 'unix:///x.sock', XDG_RUNTIME_DIR: '/run/user/1' }, '/home/u')).toEqual(['/x.sock'])
    expect(socketCandidates('docker', { XDG_RUNTIME_DIR: '/run/user/1' }, '/home/u')).toEqual(['/run/user/1/docker.sock', '/var/run/docker.sock', '/home/u/.docker/run/docker.sock'])
    expect(socketCandidates('podman', { XDG_RUNTIME_DIR: '/run/user/1' }, '/home/u')).toEqual(['/run/user/1/podman/podman.sock', '/run/podman/podman.sock'])
  })

  test('a daemon that has gone says so by its name; without a default image the line of the engine tells', async () => {
    const socket = await daemon((request, reply) => {
      const answer = request.url?.includes('/version') === true ? { Version: '27', ApiVersion: '1.41', Components: [{ Name: 'Engine' }] } : request.url?.includes('/info') === true ? INFO : []
      reply.writeHead(200).end(JSON.stringify(answer))
    })
    const engine = new ContainerEngine({ name: 'docker', dataDir: base, socket })
    await engine.check()
    expect(engine.description).toMatch(/^docker 27.*no default image yet \(elder-node image build\)$/)
    expect(engine.bare).toBe(true)
    const tree = await engine.createTree('a'.repeat(26), 0)
    servers.at(-1)?.closeAllConnections()
    await new Promise(resolve => { servers.at(-1)?.close(resolve) })
    const run = async (): Promise<void> => { for await (const _ of engine.run({ ...specOf(tree, ['true']), image: 'node:24' }, { signal: new AbortController().signal })) { /* none */ } }
    await expect(run()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE', message: expect.stringContaining('docker does not answer') as string })
    await engine.close()
  })

  test('progress in lines; a failure by its reason, not by its script', () => {
    expect(['Step 1/2 : FROM x\n', '\u001b[91mwarn\u001b[0m', '\u001b[0m'].map(stream => textOf({ stream }))).toEqual(['Step 1/2 : FROM x\n', 'warn', undefined])
    expect([{ status: 'Downloading', id: 'abc' }, { status: 'Pull complete', id: 'abc' }, { status: 'Digest: x' }].map(textOf)).toEqual([undefined, 'abc: Pull complete\n', 'Digest: x\n'])
    expect(failureOf({ errorDetail: { message: 'The command \'/bin/sh -c a\nb\' returned a non-zero code: 3' } })).toBe('a step returned a non-zero code: 3')
    expect(failureOf({ status: 'fine' })).toBeUndefined()
  })

  test('a pull that fails tells the reason, one that is cancelled ends as such, and the default image is never pulled', async () => {
    const path = await daemon((request, reply) => { reply.writeHead(request.method === 'GET' ? 404 : 200).end(request.method === 'GET' ? '{}' : '{"status":"Pulling"}\n{"error":"manifest unknown"}\n') })
    const lines: string[] = []
    const pull = async (signal: AbortSignal): Promise<void> => { for await (const line of findImage(new ContainerClient(path), 'node:99', signal)) lines.push(line) }
    await expect(pull(new AbortController().signal)).rejects.toMatchObject({ code: 'IMAGE_UNAVAILABLE', message: expect.stringContaining('manifest unknown') as string })
    expect(lines).toEqual(['image node:99 is not here yet: pulling it\n', 'Pulling\n'])
    const unnamed = async (): Promise<void> => { for await (const _ of findImage(new ContainerClient(path), null, new AbortController().signal)) { /* none */ } }
    await expect(unnamed()).rejects.toMatchObject({ code: 'IMAGE_MISSING', fix: expect.stringContaining('elder-node image build') as string })
    await expect(pull(AbortSignal.abort())).rejects.not.toMatchObject({ code: 'IMAGE_UNAVAILABLE' })
  })

  test('no other device sends the daemon to this machine, or to a cloud\'s metadata', async () => {
    const asked: string[] = []
    const path = await daemon((request, reply) => { asked.push(`${request.method ?? ''} ${request.url ?? ''}`); reply.writeHead(404).end('{}') })
    for (const image of ['localhost:5000/a', 'LOCALHOST/a', 'x.localhost/a', '127.0.0.1:4708/metrics', '127.1.2.3/a', '0.0.0.0:1/a', '[::1]:5000/a', '[0:0:0:0:0:0:0:1]/a', '[::]:80/a', '[::ffff:7f00:1]/a', '169.254.169.254/latest']) {
      const pull = async (): Promise<void> => { for await (const _ of findImage(new ContainerClient(path), image, new AbortController().signal)) { /* said */ } }
      await expect(pull(), image).rejects.toMatchObject({ code: 'IMAGE_UNAVAILABLE', message: expect.stringContaining('this builder itself') as string })
    }
    expect(asked.filter(line => !/^GET .*\/json$/.test(line))).toEqual([])
    for (const image of ['node', 'team/localhost', 'registry.example/a/b', 'localhost', '10.0.0.1:5000/a', '[fd00::1]:5000/a']) expect(parseImage(image).isLocal, image).toBe(false)
  })

  test('a pull ends before it fills the disk, and before any build', async () => {
    const ended: string[] = []
    const running: DiskWatch[] = []
    onTestFinished(() => { for (const watch of running) watch.stop() })
    const path = await daemon((request, reply) => {
      if (request.url === '/info') reply.writeHead(200).end(JSON.stringify({ ...INFO, DockerRootDir: base }))
      else if (request.method === 'GET') reply.writeHead(404).end('{}')
      else {
        reply.writeHead(200).write('{"status":"Pulling"}\n')
        running.push(new DiskWatch({ folders: () => [base], bytesMax: Infinity, reserveBytes: Infinity, onFull: () => { ended.push('the build') } }))
      }
    })
    const pull = async (): Promise<void> => { for await (const _ of findImage(new ContainerClient(path), 'huge:1', new AbortController().signal)) { /* said */ } }
    await expect(pull()).rejects.toMatchObject({ code: 'IMAGE_UNAVAILABLE', message: expect.stringContaining('run full') as string })
    expect(ended).toEqual([])
  }, 30_000)

  test('a recipe that does not build tells the reason', async () => {
    const path = await daemon((_request, reply) => { reply.writeHead(200).end('{"stream":"Step 1/1 : FROM none"}\n{"error":"pull access denied"}\n') })
    const build = async (): Promise<void> => { for await (const _ of buildImage(new ContainerClient(path), { dockerfile: Buffer.from('FROM none\n'), tag: 'x:1', signal: new AbortController().signal })) { /* none */ } }
    await expect(build()).rejects.toMatchObject({ code: 'IMAGE_BUILD_FAILED', message: expect.stringContaining('pull access denied') as string })
  })

  test('last words: a missing program under catatonit is 127, and a failed fork is known by what is said of it', () => {
    const heard = (...texts: string[]): LastWords => { const words = new LastWords(); for (const text of texts) words.hear(Buffer.from(text)); return words }
    const said = 'ERROR (catatonit:2): failed to exec pid1: No such file or directory\n'
    expect([heard(said).exitCode(1), heard(said).exitCode(2), heard('x').exitCode(1), heard(said, 'x'.repeat(400)).exitCode(1)]).toEqual([127, 2, 1, 1])
    for (const text of ['sh: can\'t fork: Resource temporarily unavailable', 'sh: 1: Cannot fork', 'Error: spawn node EAGAIN', 'bash: fork: retry: Resource temporarily unavailable']) expect(heard('x'.repeat(5000), text).noProcess, text).toBe(true)
    expect(heard('Cannot fork', 'x'.repeat(5000)).noProcess).toBe(false)
  })
})

describe('names', () => {
  test('of images', () => {
    expect(['node', 'node:24', 'registry.example/a/b_c:1.2-x', 'localhost:5000/a', `a@sha256:${'0'.repeat(64)}`, '[::1]:5000/a'].map(text => parseImage(text).full))
      .toEqual(['node:latest', 'node:24', 'registry.example/a/b_c:1.2-x', 'localhost:5000/a:latest', `a@sha256:${'0'.repeat(64)}`, '[::1]:5000/a:latest'])
    for (const text of ['', 'A', 'a b', '../x', 'a?b=c', 'a:', 'a/', '/a', 'a:b:c', '-a', 'a\n', 'a@sha256:0', 'x'.repeat(300), 'a&fromSrc=-']) expect(() => parseImage(text), text).toThrow(/not the name of an image/)
  })

  test('nothing that is no name of an image passes', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 40 }), text => {
      try {
        expect(parseImage(text).full).toMatch(/^[A-Za-z0-9._/:@[\]-]+$/)
      } catch (error) {
        expect(error).toMatchObject({ code: 'IMAGE_INVALID' })
      }
    }))
  })

  test('of a container\'s cgroup', () => {
    expect(cgroupPaths('abc', { CgroupDriver: 'systemd' }, 1000)).toContain('system.slice/docker-abc.scope')
    expect(cgroupPaths('abc', { CgroupDriver: 'systemd' }, 1000)).toContain('user.slice/user-1000.slice/user@1000.service/user.slice/libpod-abc.scope')
    expect(cgroupPaths('abc', { CgroupDriver: 'cgroupfs' }, 0)).toEqual(['docker/abc', 'libpod_parent/libpod-abc'])
  })
})

test('a context that tar reads', () => {
  const tar = tarOf({ Dockerfile: Buffer.from('FROM x\n'), empty: new Uint8Array(), block: Buffer.alloc(512, 'y') })
  const listed = execFileSync('tar', ['-tvf', '-'], { input: tar, encoding: 'utf8' })
  expect(listed).toMatch(/7 .*Dockerfile\n.*0 .*empty\n.*512 .*block\n$/)
  expect(execFileSync('tar', ['-xOf', '-', 'Dockerfile'], { input: tar, encoding: 'utf8' })).toBe('FROM x\n')
})
