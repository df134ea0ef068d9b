/** The owner's npm settings that a build may have: where packages come from, never who fetches them. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { homeFolder } from './xdg.ts'

export interface NpmSettings {
  registry: string | undefined
  cafile: string | undefined
  globalconfig: string | undefined
  /** Lines of the user's and the global npmrc that may travel; empty when there are none. */
  lines: string[]
}

const KEYS = /^(registry|cafile|ca(\[\])?|strict-ssl|proxy|https-proxy|noproxy|@[^:=\s]+:registry)$/

/** Asks npm once where its files are; without npm only the owner's variables and `~/.npmrc` count. */
export async function readNpmSettings (env: NodeJS.ProcessEnv): Promise<NpmSettings> {
  const { globalconfig, userconfig } = await configFiles(env)
  const texts = await Promise.all([globalconfig, userconfig].map(path => path === undefined ? '' : readFile(path, 'utf8').catch(() => '')))
  const lines = texts.flatMap(text => safeLines(text, env))
  const get = (key: string): string | undefined => variable(env, key) ?? lines.findLast(line => line.startsWith(`${key}=`))?.slice(key.length + 1)
  return { registry: withoutUser(get('registry')), cafile: get('cafile'), globalconfig, lines }
}

async function configFiles (env: NodeJS.ProcessEnv): Promise<Record<'globalconfig' | 'userconfig', string | undefined>> {
  // Only these two: npm refuses to print a registry that holds a password.
  const asked = await promisify(execFile)('npm', ['config', 'get', 'globalconfig', 'userconfig'], { cwd: '/', env, timeout: 20_000 }).catch(() => ({ stdout: '' }))
  const said = new Map(asked.stdout.split('\n').map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1).trim()] as const))
  return { globalconfig: said.get('globalconfig') ?? variable(env, 'globalconfig'), userconfig: said.get('userconfig') ?? variable(env, 'userconfig') ?? npmrcIn(env['HOME'] ?? homeFolder()) }
}

function npmrcIn (home: string | undefined): string | undefined { return home === undefined ? undefined : join(home, '.npmrc') }

/** npm reads its variables in any case. */
function variable (env: NodeJS.ProcessEnv, key: string): string | undefined {
  const value = Object.entries(env).find(([name]) => name.toLowerCase() === `npm_config_${key}`)?.[1]
  return value === '' ? undefined : value
}

/** Lines of an npmrc that name a place; tokens, passwords and everything unknown stay behind. Later lines win, as npm reads them. */
export function safeLines (npmrc: string, env: NodeJS.ProcessEnv): string[] {
  return npmrc.split('\n').flatMap(line => {
    const [, key, value] = /^\s*([^=;#\s]+)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (key === undefined || value === undefined || !KEYS.test(key)) return []
    // A build does not have the owner's variables that npm would put in.
    const filled = value.replace(/\$\{(\w+)\}/g, (_, name: string) => env[name] ?? '')
    return [`${key}=${withoutUser(filled)}`]
  })
}

/** Whether a file holds more than what may travel. */
export function hasMore (npmrc: string): boolean {
  return npmrc.split('\n').some(line => {
    const key = /^\s*([^=;#\s]+)/.exec(line)?.[1]
    return key !== undefined && (!KEYS.test(key) || line.includes('${') || line.includes('@') && /\/\/[^/\s]*@/.test(line))
  })
}

/**
 * An address without `user:password@`; other text as it is. In quotes and without a scheme too, as an npmrc and curl's variables have them; up
 * to the last `@` before the path, for people do not escape the one in their password.
 */
export function withoutUser<T extends string | undefined> (text: T): T {
  return text?.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/\s]*@/gi, '$1').replace(/^(\s*["']?)(?![a-z][a-z0-9+.-]*:\/\/)[^/\s]*@(?=[^/\s@]+(?::\d+)?\/?["']?\s*$)/i, '$1') as T
}
