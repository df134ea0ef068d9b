/** As a person runs it: a device with Docker in a mesh of real processes, its images, and what is left when its node is killed. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ContainerClient, type ContainerSummary } from '../../packages/node/src/adapters/engine-container/client.ts'
import { LABEL } from '../../packages/node/src/adapters/engine-container/container-config.ts'
import { findTool } from '../../packages/node/src/adapters/system-tools.ts'
import { freshMark, Lab, marked, must, project, until, type Node, type Ran, type Result } from '../scenarios/support.ts'
import { givenEngines, TEST_IMAGE } from './support/engine.ts'
import { importImage, removeImage } from './support/images.ts'

/** What the recipe of the default image looks for; a base that has it all installs nothing. */
const TOOLS = ['git', 'make', 'c++', 'pkg-config', 'cmake', 'python3', 'pip3', 'node', 'npm', 'curl', 'ssh', 'rsync', 'rg', 'jq', 'zip', 'xz', 'file']
const STOCKED = 'elder-test/stocked:latest'

describe.each(givenEngines())('$name', given => {
  const lab = new Lab()
  const client = new ContainerClient(given.socket)
  const env = { [given.name === 'docker' ? 'DOCKER_HOST' : 'CONTAINER_HOST']: `unix://${given.socket}` }
  let desk: Node
  let builder: Node
  let dir: string
  beforeAll(async () => {
    await importImage(given.socket, { name: TEST_IMAGE, programs: ['/usr/bin/perl'] })
    const scripts = Object.fromEntries(TOOLS.map(name => [`usr/bin/${name}`, `#!/bin/sh\necho ${name} of the image\n`]))
    await importImage(given.socket, { name: STOCKED, scripts: { ...scripts, 'etc/ssl/certs/ca-certificates.crt': '' } })
    desk = await lab.join('desk')
    builder = await lab.admit('builder', desk, { slots: 1, env, flags: ['--engine', given.name] })
    await desk.sees('builder', 'desk')
    dir = project(lab, 'project', { 'src/a.txt': 'source\n' })
  })
  afterAll(async () => { await lab[Symbol.asyncDispose]() })

  const resultOf = ({ command }: Ran): Result => must(command.events.findLast(event => event.event === 'result'), command.stdout + command.stderr)
  /** Of one build: other tests share the daemon. */
  const containersOf = async (build: string): Promise<ContainerSummary[]> => (await client.list(LABEL.build)).filter(({ Labels }) => Labels?.[LABEL.build]?.startsWith(build))

  test('a build runs in the image it names, sealed, and its outputs come back', async () => {
    const ran = await lab.run(desk.dir, ['build', dir, '--image', TEST_IMAGE, '--sealed', '--out', 'out/**', '--', 'sh', '-c', 'mkdir out; cat src/a.txt > out/a.txt; id -un; ls -A /home /root 2>&1; cat /proc/net/route | wc -l'])
    expect(ran.code, ran.command.stdout + ran.command.stderr).toBe(0)
    expect(resultOf(ran)).toMatchObject({ state: 'done', builder: { name: 'builder' }, outputs: [{ path: 'out/a.txt', bytes: 7 }] })
    expect(readFileSync(join(dir, 'out/a.txt'), 'utf8')).toBe('source\n')
    expect(ran.command.printed).toMatch(/^build\n/)
    expect((await desk.call('devices', {})).find(({ name }) => name === 'builder')).toMatchObject({ engine: given.name, slots: { total: 1 } })
    expect(await containersOf(resultOf(ran).build)).toEqual([])
  })

  test('without an image a build needs the default one, which `image build` makes; then it is what the build sees', async () => {
    await removeImage(given.socket, 'elder-node/default:latest')
    const missing = await lab.run(desk.dir, ['build', dir, '--sealed', '--', 'true'])
    expect(missing.code).toBe(125)
    expect(resultOf(missing).error?.fix ?? '').toContain('elder-node image build')
    const built = await lab.run(builder.dir, ['image', 'build', '--engine', given.name, '--base', STOCKED], { env })
    expect(built.code, built.command.stderr).toBe(0)
    expect(built.last).toMatchObject({ schema: 'elder/image.v1', engine: given.name, image: { name: 'elder-node/default:latest' } })
    const listed = await lab.run(builder.dir, ['image', 'list', '--engine', given.name], { env })
    expect((listed.last as { images?: Array<{ name: string }> } | undefined)?.images?.map(({ name }) => name)).toContain('elder-node/default:latest')
    const ran = await lab.run(desk.dir, ['build', dir, '--sealed', '--wait', '60s', '--', 'git'])
    expect(ran.code, ran.command.stdout + ran.command.stderr).toBe(0)
    expect(ran.command.printed).toBe('git of the image\n')
  })

  test('the builder is killed: its containers end, and its next life removes what is left of them', async () => {
    const mark = freshMark()
    const build = desk.begin(['build', dir, '--image', TEST_IMAGE, '--sealed', '--env', 'MARK', '--', 'sh', '-c', 'setsid sleep 600 & echo begun; sleep 600', mark], { env: { MARK: mark } })
    await until(`the build runs: ${build.stderr}`, () => build.printed.includes('begun'))
    const id = must(build.events[0], 'the build has an id').build
    expect((await containersOf(id)).length).toBe(1)
    await builder.process.end('SIGKILL')
    await until('no process of the build is left', async () => (await marked(mark, build)).length === 0)
    // Without curl an ended container waits for the next life.
    if (findTool('curl') !== undefined) await until('no container is left', async () => (await containersOf(id)).length === 0)
    await builder.start({ env, flags: ['--engine', given.name] })
    expect(await containersOf(id)).toEqual([])
    await build.end('SIGINT')
  })
})
