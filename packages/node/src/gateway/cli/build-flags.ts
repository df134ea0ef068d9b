/** From the words of `build` to what is asked of the node. */
import { resolve } from 'node:path'
import { ElderError, parseTraceparent } from '@elder-node/protocol'
import type { ControlParams } from '@elder-node/protocol'
import { parseCount, parseSize, parseWait } from '../../quantities.ts'
import type { Context } from './context.ts'

export interface BuildOptions {
  out?: string[], to?: string, on?: string, prepare?: string, env?: string[], memory?: string, cpus?: string, deadline?: string, local?: string
  image?: string, sealed?: true, exclusive?: true, wait?: string, dryRun?: true, explain?: true, strictOutputs?: true, force?: true, detach?: true
}

/** `rest`: the words behind `--`; without any the command of `.elder.json` is run. @throws ElderError `USAGE` */
export function buildParams ({ io, agent, output }: Context, options: BuildOptions, dir: string, rest: string[] | undefined): ControlParams<'build'> {
  const { out, to, on, prepare, env, memory, cpus, deadline, local, image, sealed, exclusive, wait, dryRun, strictOutputs, force, detach } = options
  if (detach === true && dryRun === true) throw new ElderError('USAGE', '--dry-run runs nothing that could be detached', 'Give one of the two.')
  if (wait !== undefined && dryRun === true) throw new ElderError('USAGE', '--dry-run looks once and waits for nobody', 'Leave out --wait.')
  if (local !== undefined && !['auto', 'never', 'only'].includes(local)) throw new ElderError('USAGE', `"${local}" is not a value of --local`, 'Use auto, never or only.')
  return {
    source: resolve(io.cwd, dir), ...given('command', rest === undefined || rest.length === 0 ? undefined : rest), ...agent, ...given('traceparent', traceparent(io.env)),
    ...given('outputs', out), ...parsed('to', to, (path) => resolve(io.cwd, path)), ...given('on', on), ...given('prepare', prepare),
    ...given('env', env === undefined ? undefined : environment(env, io.env, (name) => output.warn(`--env ${name}: not set here, so the build does not get it`))),
    ...parsed('memoryBytes', memory, parseSize), ...parsed('cpus', cpus, (text) => parseCount(text, { min: 0.01, integer: false })),
    ...parsed('deadlineMs', deadline, parseWait), ...parsed('waitMs', wait, parseWait), ...given('local', local as 'auto' | 'never' | 'only' | undefined),
    ...given('image', image), ...given('sealed', sealed), ...given('exclusive', exclusive),
    ...given('dryRun', dryRun), ...given('strictOutputs', strictOutputs), ...given('force', force), ...given('detach', detach),
  }
}

/** The trace of whoever calls, when it is one. */
function traceparent (env: NodeJS.ProcessEnv): string | undefined {
  return parseTraceparent(env['TRACEPARENT']) === undefined ? undefined : env['TRACEPARENT']
}

function given<K extends string, T> (key: K, value: T | undefined): { [P in K]?: T } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: T }
}

function parsed<K extends string, T> (key: K, text: string | undefined, parse: (text: string) => T): { [P in K]?: T } {
  return given(key, text === undefined ? undefined : parse(text))
}

function environment (names: string[], env: NodeJS.ProcessEnv, missing: (name: string) => void): Record<string, string> {
  const passed: Record<string, string> = {}
  for (const name of names) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new ElderError('USAGE', `--env takes the name of a variable, not "${name.split('=')[0]}=…": values in arguments can be read by every user`, `Set it, then pass its name: ${name.split('=')[0]}=… elder-node build --env ${name.split('=')[0]} …`)
    const value = env[name]
    if (value === undefined) missing(name)
    else passed[name] = value
  }
  return passed
}
