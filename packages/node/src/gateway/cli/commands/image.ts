/** `image`: what builds run in on this device. Talks to Docker or Podman itself; no node needs to run. */
import { ElderError } from '@elder-node/protocol'
import type { Command } from 'commander'
import { openImageStore, type ImageInfo, type ImageStore } from '../../../adapters/engine-container/store.ts'
import { table } from '../../render/table.ts'
import { ago, bytes, plain } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'

interface Options { engine?: string, base?: string, tag?: string }

const ENGINES = ['auto', 'docker', 'podman'] as const
const ENGINE_FLAG = ['--engine <name>', 'auto, docker, podman (default: auto)'] as const

export function register (command: Command, { act }: Kit): void {
  command.addHelpText('after', `
Examples:
  elder-node image build
  elder-node image list`)
  command.command('build').description('make the image of builds that name none: git, C/C++, Python 3, Node and the usual tools')
    .option('--base <image>', 'a Debian or Ubuntu image to start from (default: node:24-bookworm)')
    .option('--tag <name>', 'name of the image (default: elder-node/default:latest)').option(...ENGINE_FLAG)
    .addHelpText('after', `
Examples:
  elder-node image build
  elder-node image build --base ubuntu:24.04
  elder-node image build --base rust:1-bookworm --tag team/rust
  elder-node config set image team/rust

What is built is printed on stderr, its name on stdout. Takes minutes, and the
network.`)
    .action(act(build))
  command.command('list').description('the images of this device, newest first').option(...ENGINE_FLAG)
    .addHelpText('after', `
Examples:
  elder-node image list
  elder-node image list --engine podman --json | jq -r '.images[].name'`)
    .action(act(list))
}

async function build (context: Context, { base, tag, engine }: Options): Promise<void> {
  const { output, signal } = context
  const store = await open(context, engine)
  output.note(`building with ${store.engine}`)
  const building = store.build({ signal, ...(base === undefined ? {} : { base }), ...(tag === undefined ? {} : { tag }) })
  for (;;) {
    const { value, done } = await building.next().catch((error: unknown) => { throw signal.aborted ? signal.reason as Error : error })
    if (done === true) return output.answer('image', { engine: store.engine, image: value }, () => value.name)
    if (value.trim() !== '') output.note(plain(value.trimEnd(), { lines: true }))
  }
}

async function list (context: Context, { engine }: Options): Promise<void> {
  const { output } = context
  const store = await open(context, engine)
  const images = await store.list()
  output.answer('images', { engine: store.engine, images }, () => images.length === 0 ? `no images on ${store.engine} yet: elder-node image build` : listing(context, images))
}

function listing ({ output }: Context, images: ImageInfo[]): string {
  const nowMs = Date.now()
  return table([{ title: 'IMAGE', flexible: true }, { title: 'ID' }, { title: 'SIZE', align: 'right' }, { title: 'MADE', align: 'right' }],
    images.map(image => [image.name, image.id, bytes(image.bytes), ago(image.createdAt, nowMs)]), output.paint).join('\n')
}

async function open ({ io }: Context, engine = 'auto'): Promise<ImageStore> {
  const choice = ENGINES.find(name => name === engine)
  if (choice === undefined) throw new ElderError('USAGE', `"${engine}" is not an engine that runs images`, `Use one of: ${ENGINES.join(', ')}.`)
  return await openImageStore(choice, io.env)
}
