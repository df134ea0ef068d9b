/** What the checks of the published form share: running commands, starting nodes, saying what was found. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const env = { ...process.env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter), npm_config_loglevel: 'error', npm_config_audit: 'false', npm_config_fund: 'false' }
export const say = text => console.log(`packed: ${text}`)
export const run = (command, args, options = {}) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 26, ...options, env: { ...env, ...options.env } })

/** An empty folder that a user might install into. */
export function folderOf (work, name, manifest = {}) {
  const folder = join(work, name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', ...manifest }))
  return folder
}

/** Installs without install scripts, as a careful user does. */
export function install (folder, packages, { cache, offline = false }) {
  run('npm', ['install', '--ignore-scripts', ...offline ? ['--offline'] : [], ...packages], { cwd: folder, env: { npm_config_cache: cache } })
}

/** Fetches one package without its dependencies; undefined, with the reason printed, when the registry cannot be reached. */
export function fetchPackage (folder, name, what) {
  try {
    const [file] = run('npm', ['pack', name, '--silent', '--pack-destination', folder], { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] }).trim().split('\n').slice(-1)
    run('tar', ['-xzf', file], { cwd: folder })
    return join(folder, 'package')
  } catch (error) {
    say(`skipped: ${what}: ${name} cannot be fetched (${String(error.message).split('\n')[0]})`)
    return undefined
  }
}

export const binOf = folder => join(folder, 'node_modules/elder-node/bin/elder-node.js')

const started = new Set()

/** Starts `elder-node join` and resolves with its ready line. `node`: the words that start a Node. */
export async function startNode (folder, args, { stdin = '', node = [process.execPath], data = 'data' } = {}) {
  const [command, ...before] = node
  const words = ['join', '--json', '--dir', join(folder, data), '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', ...args]
  return await startProgram(command, [...before, binOf(folder), ...words], { cwd: folder, stdin })
}

/** Starts a `join --json` in whatever words and resolves with its ready line. */
export async function startProgram (command, args, { cwd, stdin = '', env: more = {} }) {
  const child = spawn(command, args, { cwd, env: { ...env, ...more }, stdio: ['pipe', 'pipe', 'inherit'] })
  started.add(child)
  child.once('exit', () => started.delete(child))
  child.stdin.on('error', () => {}).end(stdin)
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line)
    assert.equal(event.event, 'ready', line)
    return { ...event, stop: () => end(child) }
  }
  throw new Error('join ended before it was ready')
}

async function end (child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

export const endAll = async () => { await Promise.all([...started].map(end)) }
