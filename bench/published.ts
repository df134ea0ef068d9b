/**
 * The published form, before and after bundling, in one run: what an empty machine downloads, how long the first `npx` takes,
 * what a started node costs. "before" is what tsc made with every dependency; "after" is what `npm publish` ships.
 *
 *     npm run build && node bench/published.ts            # 3 repetitions; table on stderr, JSON on stdout
 *     node bench/published.ts --times 1 --save            # also writes results/<date>-published.json and .md
 *
 * Needs a registry; the times of cold installs are also its and the network's.
 */
import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { startOnce, wallMs } from './part-start.ts'
import { markdown, Report } from './report.ts'

const root = join(import.meta.dirname, '..')
const { values: flags } = parseArgs({ options: { times: { type: 'string', default: '3' }, save: { type: 'boolean', default: false } } })
const times = Number(flags.times)
const report = new Report(text => { process.stderr.write(`${text}\n`) })
const work = mkdtempSync(join(tmpdir(), 'elder-published-'))
const path = [dirname(process.execPath), process.env['PATH']].join(delimiter)

interface Form { tarballKB: number, packages: number, files: number, diskMB: number, cliMs: number[], readyMs: number[], cpuMs: number[], rssMB: number[], coldNpxMs: number[], coldInstallMs: number[], warmInstallMs: number[] }

function run (command: string, args: string[], { cwd, cache }: { cwd: string, cache: string }): number {
  const from = performance.now()
  execFileSync(command, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, PATH: path, npm_config_cache: cache, npm_config_loglevel: 'error' } })
  return performance.now() - from
}

function emptyFolder (): string {
  const folder = mkdtempSync(join(work, 'empty-'))
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}\n')
  return folder
}

function filesIn (folder: string): { count: number, bytes: number } {
  const files = readdirSync(folder, { recursive: true }).map(name => lstatSync(join(folder, String(name)))).filter(stat => stat.isFile())
  return { count: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) }
}

async function measure (name: string, args: string[]): Promise<Form> {
  report.say(name)
  const tarballs = execFileSync(process.execPath, [join(root, 'tools/pack.mjs'), join(work, name), ...args], { encoding: 'utf8', env: { ...process.env, PATH: path } }).trim().split('\n')
  const install = ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...tarballs]
  const coldNpxMs: number[] = []
  const coldInstallMs: number[] = []
  const warmInstallMs: number[] = []
  let folder = ''
  for (let i = 0; i < times; i++) {
    const cache = mkdtempSync(join(work, 'cache-'))
    coldNpxMs.push(run('npx', ['--yes', ...tarballs.map(file => `--package=${file}`), 'elder-node', '--version'], { cwd: emptyFolder(), cache: mkdtempSync(join(work, 'cache-')) }))
    coldInstallMs.push(run('npm', install, { cwd: emptyFolder(), cache }))
    warmInstallMs.push(run('npm', install, { cwd: folder = emptyFolder(), cache }))
  }
  const { count, bytes } = filesIn(join(folder, 'node_modules'))
  const lock = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')) as { packages: Record<string, unknown> }
  const bin = join(folder, 'node_modules/elder-node/bin/elder-node.js')
  const starts = []
  for (let i = 0; i < times + 2; i++) starts.push(await startOnce(bin))
  return {
    tarballKB: tarballs.reduce((sum, file) => sum + statSync(file).size, 0) / 1000,
    packages: Object.keys(lock.packages).length - 1, files: count, diskMB: bytes / 1e6,
    coldNpxMs, coldInstallMs, warmInstallMs,
    cliMs: starts.map(() => wallMs(process.execPath, [bin, '--help'])),
    readyMs: starts.map(start => start.readyMs), cpuMs: starts.map(start => start.cpuMs), rssMB: starts.map(start => start.rssBytes / 1e6),
  }
}

try {
  const before = await measure('before', ['--unbundled'])
  const after = await measure('after', [])
  const row = (id: string, what: string, unit: string, pick: (form: Form) => number | number[], more: { target?: string, peers?: Record<string, number[]> } = {}): void => {
    const { peers = {}, ...rest } = more
    report.add({ id: `published-${id}`, what, unit, devices: 1, ours: [pick(after)].flat(), peers: { 'before, unbundled': [pick(before)].flat(), ...peers }, ...rest })
  }
  row('packages', 'packages installed', '', form => form.packages)
  row('files', 'files installed', '', form => form.files)
  row('disk', 'size on disk', 'MB', form => form.diskMB)
  row('tarballs', 'own three tarballs', 'kB', form => form.tarballKB)
  row('npx', 'cold `npx elder-node --version`, empty npm cache', 'ms', form => form.coldNpxMs)
  row('install', 'cold `npm install`, empty npm cache', 'ms', form => form.coldInstallMs)
  row('install-warm', '`npm install`, filled npm cache', 'ms', form => form.warmInstallMs)
  row('cli', '`elder-node --help`', 'ms', form => form.cliMs, { target: 'bare Node + little', peers: { '`node -e 0`': before.cliMs.map(() => wallMs(process.execPath, ['-e', '0'])) } })
  row('ready', 'start to ready (new mesh)', 'ms', form => form.readyMs, { target: '< 1500' })
  row('cpu', 'CPU time of that start', 'ms', form => form.cpuMs)
  row('rss', 'RSS at ready, alone', 'MB', form => form.rssMB, { target: '<= 130' })
} finally {
  rmSync(work, { recursive: true, force: true })
}

const found = report.end('full')
const json = `${JSON.stringify(found, null, 2)}\n`
process.stderr.write(`\n${markdown(found)}`)
process.stdout.write(json)
if (flags.save) {
  const name = join(import.meta.dirname, 'results', `${found.at.slice(0, 10)}-published`)
  mkdirSync(dirname(name), { recursive: true })
  writeFileSync(`${name}.json`, json)
  writeFileSync(`${name}.md`, `# ${found.at.slice(0, 10)}, the published form\n\n${markdown(found)}`)
}
