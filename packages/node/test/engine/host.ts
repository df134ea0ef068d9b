/** A small node process that owns an engine and obeys lines of JSON on stdin: what the tests kill, or run as another user. */
import { appendFileSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { createInterface } from 'node:readline'
import type { Engine, RunSpec } from '../../src/ports/engine.ts'

type Order = { id: number } & (
  | { op: 'check' | 'sweep' } | { op: 'createTree', name: string, slot: number } | { op: 'removeTree', tree: string }
  | { op: 'run', spec: RunSpec } | { op: 'cancel', run: number })

/** Who this process becomes once its code is read, so that the checkout may lie where only root can read; and the cgroups it joins as root. */
interface Identity { uid?: number, join?: string[] }

function become ({ uid, join = [] }: Identity): void {
  for (const procs of join) appendFileSync(procs, `${process.pid}\n`)
  if (uid === undefined) return
  process.setgroups?.([])
  process.setgid?.(uid)
  process.setuid?.(uid)
}

const MAKERS: Record<string, (init: never) => Promise<Engine>> = {
  process: async init => new (await import('../../src/adapters/engine-process/engine.ts')).ProcessEngine(init),
  sandbox: async init => new (await import('../../src/adapters/engine-sandbox/engine.ts')).SandboxEngine(init),
  container: async init => new (await import('../../src/adapters/engine-container/engine.ts')).ContainerEngine(init),
}
const [, , init = '{}', kind = 'process'] = process.argv
const engine = await MAKERS[kind]?.(JSON.parse(init) as never) as Engine
// Most are killed, and Node writes its compile cache at an exit.
flushCompileCache()
become(JSON.parse(init) as Identity)
const running = new Map<number, AbortController>()

function say (id: number, message: object): void { process.stdout.write(`${JSON.stringify({ id, ...message })}\n`) }

async function run (id: number, spec: RunSpec): Promise<void> {
  const controller = new AbortController()
  running.set(id, controller)
  for await (const event of engine.run(spec, { signal: controller.signal })) {
    say(id, { event: event.type === 'log' ? { ...event, data: Buffer.from(event.data).toString('base64') } : event })
  }
}

async function obey (order: Order): Promise<unknown> {
  if (order.op === 'cancel') return running.get(order.run)?.abort()
  if (order.op === 'run') return run(order.id, order.spec)
  if (order.op === 'createTree') return engine.createTree(order.name, order.slot)
  if (order.op === 'removeTree') return engine.removeTree(order.tree)
  await engine[order.op]()
  return engine.description
}

createInterface({ input: process.stdin }).on('line', line => {
  const order = JSON.parse(line) as Order
  obey(order).then(
    result => { say(order.id, { result: result ?? null }) },
    (error: unknown) => { say(order.id, { error: { code: (error as { code?: string }).code ?? 'UNKNOWN', message: String(error) } }) },
  )
})
