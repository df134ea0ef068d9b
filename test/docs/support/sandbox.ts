/** The devices of one page: a home folder each, real nodes in them, and a shell that types what the page says. */
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { rootName } from '../../../packages/node/src/adapters/engine-common/root.ts'
import { missing } from './likeness.ts'
import type { Block, Given, Lost, Typed } from './page.ts'

export const BIN: string = fileURLToPath(new URL('../../../packages/node/bin/elder-node.js', import.meta.url))
/** Ten times what a command takes on two busy cores. */
const ANSWER_MS = 60_000
/** A person who does not see yet what the page shows looks again. */
const LOOKS = /^(npx )?elder-node (status|devices|builds|ping|stack (show|list|digest|search|log|verify|remote list))\b/
/** Addresses of git hosts in the docs, and what they are here. */
const HOSTS = /(?:https:\/\/|git@)(?:git\.example\.org|github\.com)[:/]me\/[\w.-]+\.git/g

export class Sandbox {
  readonly temp: string = mkdtempSync(join(tmpdir(), 'elder-docs-'))
  readonly #devices = new Map<string, { home: string, cwd: string }>()
  /** Which device the page's name stands for, once another was elected than on the page. */
  readonly #alias = new Map<string, string>()
  /** Paths of git remotes here, and what the page calls them. */
  readonly #urls = new Map<string, string>()
  #ticket = ''

  constructor () {
    this.#stub('elder-node', `case "$1 $2" in "service install"|"service remove") case "$*" in *--print*|*--help*) ;; *) echo "docs test: not on this machine" >&2; exit 97;; esac;; esac\nexec "${process.execPath}" "${BIN}" "$@"`)
    this.#stub('node', `exec "${process.execPath}" "$@"`)
    this.#stub('npx', '[ "$1" = -y ] && shift\n[ "$1" = elder-node ] || exit 98\nshift; exec elder-node "$@"')
    this.#stub('ssh', `export HOME="${this.temp}/$1" ELDER_NODE_NAME="$1"; shift; cd && exec sh -c "$*"`)
    this.#stub('scp', `for to; do :; done; cp "$1" "${this.temp}/\${to%%:*}/\${to#*:}"`)
  }

  /** Founds a mesh with the first and lets the others in. */
  async given (devices: Given[]): Promise<void> {
    const [first, ...rest] = devices
    if (first === undefined) return
    await this.type({ device: first.name, line: `elder-node join --detach --slots ${first.slots}`, shown: [], at: 0 })
    for (const { name, slots } of rest) {
      await this.type({ device: first.name, line: 'elder-node invite', shown: [], at: 0 })
      await this.type({ device: name, line: `elder-node join --detach --slots ${slots} --ticket-file -`, shown: [], at: 0 })
    }
  }

  async run ({ typed, file, exit, lost, at }: Block): Promise<void> {
    if (file !== undefined) {
      const { home, cwd } = this.#device('laptop')
      const path = file.path.startsWith('~/') ? join(home, file.path.slice(2)) : join(cwd, file.path)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, file.text)
    }
    for (const [index, each] of typed.entries()) {
      await this.type(each, index === typed.length - 1 ? exit : 0, index === 0 ? lost : undefined).catch((error: unknown) => { throw new Error(`block at line ${at}: ${String(error)}`, { cause: error }) })
    }
  }

  async type (typed: Typed, exit: number = 0, lost?: Lost): Promise<string> {
    const end = performance.now() + ANSWER_MS
    for (;;) {
      const { code, output } = await this.#once(typed, lost)
      const names = [...this.#devices.keys()]
      const absent = missing(typed.shown, output, names)
      if (code === exit && absent === undefined) return output
      if (!LOOKS.test(typed.line) || performance.now() > end) {
        expect.fail(`line ${typed.at}: ${typed.device}$ ${typed.line}\n${code === exit ? `shows no line like: ${absent}` : `ended with ${code}, not ${exit}`}\n${output}`)
      }
      await delay(100)
    }
  }

  async #once ({ device, line }: Typed, lost?: Lost): Promise<{ code: number | null, output: string }> {
    const at = this.#device(this.#alias.get(device) ?? device)
    const here = line.replaceAll('elder1…', this.#ticket).replaceAll(HOSTS, (url: string) => {
      // Short, as tables cut what is long.
      const path = [...this.#urls].find(([, known]) => known === url)?.[0] ?? join(this.temp, `${this.#urls.size}.git`)
      if (!existsSync(path)) execFileSync('git', ['init', '-q', '--bare', path])
      this.#urls.set(path, url)
      return path
    })
    for (const [, other] of here.matchAll(/\b(?:ssh|scp \S+) ([a-z]+)/g)) this.#device(other ?? '')
    const child = spawn('bash', ['-c', `set -o pipefail; cd "${at.cwd}"\n${here}\nrc=$?; pwd > "${at.home}/.cwd"; exit $rc`], { stdio: ['pipe', 'pipe', 'pipe'], env: this.#env(at.home) })
    let output = ''
    let coming = lost
    const hear = (text: Buffer): void => {
      output += String(text)
      if (coming === undefined || !output.includes(coming.after)) return
      this.#powerOff(/elected +([a-z]+)/.exec(output)?.[1] ?? 'nobody', coming.device)
      coming = undefined
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.stdin.on('error', () => undefined).end(/--ticket-file -( |$)/.test(here) && !here.includes('|') ? this.#ticket : '')
    const ended = new Promise<number | null>((resolve) => { child.once('close', (code) => resolve(code)) })
    const late = setTimeout(() => { output += `\nnot within ${ANSWER_MS} ms (pages join with --detach)`; child.kill('SIGKILL') }, ANSWER_MS)
    const code = await ended
    clearTimeout(late)
    if (existsSync(join(at.home, '.cwd'))) at.cwd = readFileSync(join(at.home, '.cwd'), 'utf8').trim()
    for (const path of here.matchAll(/> *(\S+)/g)) if (/invite/.test(here)) output += readFileSync(join(at.cwd, path[1] ?? ''), 'utf8')
    this.#ticket = /\belder1[a-z2-7]+/.exec(output)?.[0] ?? this.#ticket
    for (const [path, url] of this.#urls) output = output.replaceAll(path, url)
    return { code, output: output.replaceAll(at.home, '~') }
  }

  #powerOff (elected: string, onPage: string): void {
    const real = [...this.#alias].find(([, name]) => name === elected)?.[0] ?? elected
    if (real !== onPage) this.#alias.set(onPage, elected).set(elected, onPage)
    const pid = this.#pid(elected)
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  }

  /** Of the node that holds the data directory now. */
  #pid (device: string): number | undefined {
    try {
      const { pid } = JSON.parse(readFileSync(join(this.#device(device).home, '.local/state/elder-node/lock'), 'utf8')) as { pid: number }
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('elder-node') ? pid : undefined
    } catch { return undefined }
  }

  #device (name: string): { home: string, cwd: string } {
    const known = this.#devices.get(name)
    if (known !== undefined) return known
    const home = join(this.temp, name)
    const made = { home, cwd: home }
    this.#devices.set(name, made)
    mkdirSync(home, { recursive: true })
    writeFileSync(join(home, '.gitconfig'), '[user]\n  name = me\n  email = me@example.org\n[init]\n  defaultBranch = main\n')
    mkdirSync(join(home, 'node_modules'))
    symlinkSync(dirname(dirname(BIN)), join(home, 'node_modules', 'elder-node'))
    cpSync(fileURLToPath(new URL('my-project', import.meta.url)), join(home, 'my-project'), { recursive: true })
    execFileSync('git', ['init', '-q', join(home, 'my-project')])
    return made
  }

  #env (home: string): NodeJS.ProcessEnv {
    const kept = Object.entries(process.env).filter(([name]) => !/^(ELDER_|XDG_|GIT_|VITEST|FORCE_COLOR$|NODE_OPTIONS$|NODE_ENV$)/.test(name))
    return {
      ...Object.fromEntries(kept), HOME: home, PATH: `${this.temp}/.bin:${process.env['PATH']}`, NO_COLOR: '1', COLUMNS: '80', npm_config_cache: join(homedir(), '.npm'),
      ELDER_NODE_NAME: home.slice(this.temp.length + 1), ELDER_NODE_LISTEN: '/ip4/127.0.0.1/tcp/0', ELDER_NODE_MDNS: 'false', ELDER_NODE_ENGINE: 'process', ELDER_NODE_ELECTION_EXPLORE: '0',
    }
  }

  #stub (name: string, script: string): void {
    mkdirSync(join(this.temp, '.bin'), { recursive: true })
    writeFileSync(join(this.temp, '.bin', name), `#!/bin/bash\n${script}\n`)
    chmodSync(join(this.temp, '.bin', name), 0o755)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    const pids = [...this.#devices.keys()].map((name) => this.#pid(name)).filter((pid) => pid !== undefined)
    for (const pid of pids) process.kill(pid, 'SIGTERM')
    const alive = (pid: number): boolean => { try { return process.kill(pid, 0) } catch { return false } }
    for (const end = performance.now() + 15_000; pids.some(alive) && performance.now() < end;) await delay(20)
    for (const pid of pids.filter(alive)) process.kill(pid, 'SIGKILL')
    // Build trees live outside of the data directory, under a name made of it.
    for (const { home } of this.#devices.values()) {
      for (const parent of ['/var/lib/elder-node', join(tmpdir(), `elder-node-${process.getuid?.() ?? 0}`)]) rmSync(join(parent, rootName(join(home, '.local/state/elder-node'))), { recursive: true, force: true })
    }
    rmSync(this.temp, { recursive: true, force: true })
  }
}
