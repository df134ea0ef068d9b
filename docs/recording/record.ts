/**
 * Plays the story with real nodes on this machine and writes what is seen:
 *
 *     npm run build && node docs/recording/record.ts
 *
 * `elder-node.cast` is for `asciinema play`, `elder-node.svg` for the README. Typing is paced, waiting is cut to a second, outputs are real.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import { castOf } from './cast.ts'
import { Camera } from './film.ts'
import { pictureOf } from './picture.ts'
import { STORY } from './story.ts'

const BIN = fileURLToPath(new URL('../../packages/node/bin/elder-node.js', import.meta.url))
const SHELL = `elder-node () { "${process.execPath}" "${BIN}" "$@"; }\n`
const PROJECT = 'for n in 1 2 3 4 5; do echo "step $n of 5"; sleep 0.8; done\n'

class Stage {
  readonly temp: string = mkdtempSync(join(tmpdir(), 'elder-rec-'))

  /** Types a line on a device; hears its lines as they come. */
  async run (device: string, line: string, stdin: string, hear: (text: string) => void): Promise<void> {
    const home = join(this.temp, device)
    mkdirSync(join(home, 'hello', '.git'), { recursive: true })
    const { ELDER_NODE_DIR: _dir, FORCE_COLOR: _color, XDG_STATE_HOME: _state, ...env } = process.env
    const child = spawn('bash', ['-c', `git init -q; ${SHELL}${line.replace('$NODE', String(this.#pid(device) ?? ''))}`], {
      cwd: join(home, 'hello'), stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...env, HOME: home, NO_COLOR: '1', COLUMNS: '80', ELDER_NODE_NAME: device, ELDER_NODE_LISTEN: '/ip4/127.0.0.1/tcp/0', ELDER_NODE_MDNS: 'false', ELDER_NODE_ENGINE: 'process', ELDER_NODE_ELECTION_EXPLORE: '0' },
    })
    child.stdin.on('error', () => undefined).end(stdin)
    for (const stream of [child.stdout, child.stderr]) {
      let rest = ''
      stream.on('data', (chunk: Buffer) => {
        const lines = (rest + String(chunk).replaceAll(home, '~')).split('\n')
        rest = lines.pop() ?? ''
        if (lines.length > 0) hear(lines.join('\n'))
      })
    }
    const code = await new Promise<number | null>((resolve) => { child.once('close', (ended) => resolve(ended)) })
    if (code !== 0) throw new Error(`${device}$ ${line} ended with ${code}`)
  }

  #pid (device: string): number | undefined {
    try { return (JSON.parse(readFileSync(join(this.temp, device, '.local/state/elder-node/lock'), 'utf8')) as { pid: number }).pid } catch { return undefined }
  }

  async end (): Promise<void> {
    for (const device of ['laptop', 'mini', 'pi']) {
      const pid = this.#pid(device)
      try { if (pid !== undefined && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(BIN)) process.kill(pid, 'SIGTERM') } catch { /* it is gone */ }
    }
    // They stop their builds and write what they know.
    for (let tries = 0; tries < 100 && ['laptop', 'mini', 'pi'].some((device) => this.#pid(device) !== undefined); tries++) await delay(100)
    rmSync(this.temp, { recursive: true, force: true })
  }
}

/** One take; undefined when the builder elected was not the one whose plug is pulled. */
async function take (): Promise<Camera | undefined> {
  const stage = new Stage()
  const camera = new Camera()
  let ticket = ''
  let elected = ''
  const going: Array<Promise<void>> = []
  try {
    for (const { pane, command, paste, until } of STORY) {
      if (going.length > 0 && !command.startsWith('kill')) { await Promise.all(going.splice(0)); camera.rest(0.8) }
      if (command.includes('build')) writeFileSync(join(stage.temp, 'laptop', 'hello', 'count.sh'), PROJECT)
      if (command.includes('status')) await offstage(stage)
      if (command.includes('show')) await shown(stage, 'mini', 'stack list', 'hello')
      camera.type(pane, command)
      if (paste !== undefined) camera.print(pane, `${ticket.slice(0, 60)}…`)
      let heard = ''
      const reached = Promise.withResolvers<void>()
      const ended = stage.run(pane, command, paste === undefined ? '' : ticket, (text) => {
        heard += `${text}\n`
        camera.print(pane, text)
        if (until !== undefined && heard.includes(until)) reached.resolve()
      })
      await (until === undefined ? ended : Promise.race([reached.promise, ended]))
      if (until !== undefined) going.push(ended)
      else camera.rest(pane === 'mini' || command.includes('status') ? 1.2 : 0.5)
      ticket = /\belder1[a-z2-7]+/.exec(heard)?.[0] ?? ticket
      elected = /elected +([a-z]+)/.exec(heard)?.[1] ?? elected
      if (until !== undefined && elected !== 'mini') { await Promise.all(going.splice(0)); return undefined }
    }
    return camera
  } finally { await stage.end() }
}

/** The Pi joins in the same way; the status waits until all are seen. */
async function offstage (stage: Stage): Promise<void> {
  let ticket = ''
  await stage.run('laptop', 'elder-node invite', '', (text) => { ticket += text })
  await stage.run('pi', 'elder-node join --detach --slots 1 --ticket-file -', /\belder1[a-z2-7]+/.exec(ticket)?.[0] ?? '', () => undefined)
  await shown(stage, 'laptop', 'status', '3 of 3')
}

/** A person types slower than the film: what is asked for has arrived by then. */
async function shown (stage: Stage, device: string, command: string, text: string): Promise<void> {
  for (let seen = '', tries = 0; !seen.includes(text) || seen.includes(' -  direct'); tries++) {
    if (tries > 100) throw new Error(`${device} never showed ${text}: ${seen}`)
    seen = ''
    await stage.run(device, `elder-node ${command}`, '', (more) => { seen += more })
  }
}

for (let tries = 1; ; tries++) {
  const camera = await take()
  if (camera === undefined && tries < 8) continue
  if (camera === undefined) throw new Error('mini was never elected')
  writeFileSync(new URL('elder-node.cast', import.meta.url), castOf(camera.film))
  writeFileSync(new URL('elder-node.svg', import.meta.url), pictureOf(camera.film))
  console.log(`${camera.film.seconds.toFixed(1)} s, take ${tries}`)
  break
}
