/** `.elder.json`: what a project says of its builds. Checked to the last key; what is wrong is told with its line. Pure. */
import { ElderError, IMAGE_REF } from '@elder-node/protocol'
import { parseSize } from '../../quantities.ts'
import { JsonTextError, parseJsonText, type Json, type JsonText } from './json-text.ts'

export const ELDER_JSON = '.elder.json'
/** Bytes of a file that says how to build: more than anybody writes by hand. */
export const RECIPE_BYTES_MAX = 65_536

/** Undefined where nothing is said. */
export interface ElderJson {
  image: string | undefined
  command: string[] | undefined
  prepare: string | undefined
  outputs: string[] | undefined
  platform: string | undefined
  memoryBytes: number | undefined
  cpus: number | undefined
  /** One sentence each: keys that mean nothing. */
  warnings: string[]
}

const KEYS = ['build', '$schema']
const BUILD_KEYS = ['image', 'command', 'prepare', 'outputs', 'needs']
const NEEDS_KEYS = ['platform', 'memory', 'cpus']
const SHELL = ['/bin/sh', '-c']
/** As Docker calls them, to what Node calls them. */
const ARCHITECTURES: Record<string, string> = { amd64: 'x64', x86_64: 'x64', aarch64: 'arm64' }
const FIX = 'Write it as {"build":{"image":"node:24","command":["npm","test"],"prepare":"npm ci","outputs":["dist/**"],"needs":{"memory":"2g","cpus":2}}}.'

/** @throws ElderError `RECIPE_INVALID` naming the line */
export function parseElderJson (bytes: Uint8Array): ElderJson {
  const file = new Recipe(read(bytes))
  const warnings = [...file.unknown([], KEYS), ...file.unknown(['build'], BUILD_KEYS), ...file.unknown(['build', 'needs'], NEEDS_KEYS)]
  return {
    image: file.get(['build', 'image'], 'the name of an image, as in "node:24"', value => typeof value === 'string' && IMAGE_REF.test(value) ? value : undefined),
    command: file.get(['build', 'command'], 'a list of texts, program first, or one text for the shell', command),
    prepare: file.get(['build', 'prepare'], 'a text for the shell, as in "npm ci"', text),
    outputs: file.get(['build', 'outputs'], 'a list of globs, as in ["dist/**"]', texts),
    platform: file.get(['build', 'needs', 'platform'], 'a system and an architecture, as in "linux/arm64"', platform),
    memoryBytes: file.get(['build', 'needs', 'memory'], 'a size, as in "2g" or a number of bytes', size),
    cpus: file.get(['build', 'needs', 'cpus'], 'a number of cores above zero', value => typeof value === 'number' && value > 0 ? value : undefined),
    warnings,
  }
}

class Recipe {
  readonly #file: JsonText

  constructor (file: JsonText) { this.#file = file }

  /** @throws ElderError `RECIPE_INVALID` unless the value is missing, null, or what `take` takes. */
  get<T> (path: string[], what: string, take: (value: Json) => T | undefined): T | undefined {
    const value = this.#object(path.slice(0, -1))?.[path.at(-1) ?? '']
    if (value === undefined || value === null) return undefined
    return take(value) ?? invalid(this.#file.lineOf(path), `${path.join('.')} is ${what}, not ${JSON.stringify(value).slice(0, 80)}`)
  }

  unknown (path: string[], known: string[]): string[] {
    return Object.keys(this.#object(path) ?? {}).filter(key => !known.includes(key)).map(key =>
      `${ELDER_JSON}, line ${this.#file.lineOf([...path, key])}: "${[...path, key].join('.').slice(0, 128)}" means nothing here; known are ${known.filter(name => name !== '$schema').join(', ')}`)
  }

  #object (path: string[]): { [key: string]: Json } | undefined {
    let at: Json | undefined = this.#file.value
    for (let i = 0; ; i++) {
      if (at === undefined || at === null) return undefined
      if (typeof at !== 'object' || Array.isArray(at)) return invalid(this.#file.lineOf(path.slice(0, i)), `${path.slice(0, i).join('.') || 'the file'} is an object, not ${JSON.stringify(at).slice(0, 80)}`)
      const key = path[i]
      if (key === undefined) return at
      at = at[key]
    }
  }
}

function read (bytes: Uint8Array): JsonText {
  if (bytes.length > RECIPE_BYTES_MAX) return invalid(1, `it has ${bytes.length} bytes, and at most ${RECIPE_BYTES_MAX} are read`)
  try {
    return parseJsonText(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    return invalid(error instanceof JsonTextError ? error.line : 1, error instanceof JsonTextError ? error.message : 'it is not UTF-8')
  }
}

function text (value: Json): string | undefined { return typeof value === 'string' && value !== '' ? value : undefined }
function texts (value: Json): string[] | undefined { return Array.isArray(value) && value.every(item => typeof item === 'string') ? value : undefined }

function command (value: Json): string[] | undefined {
  if (typeof value === 'string') return value.trim() === '' ? undefined : [...SHELL, value]
  const words = texts(value)
  return words === undefined || (words[0] ?? '') === '' ? undefined : words
}

function platform (value: Json): string | undefined {
  const [, system, cpu] = typeof value === 'string' ? /^([a-z0-9]+)\/([a-z0-9_]+)$/.exec(value) ?? [] : []
  return system === undefined || cpu === undefined ? undefined : `${system}/${ARCHITECTURES[cpu] ?? cpu}`
}

function size (value: Json): number | undefined {
  if (typeof value === 'number') return value > 0 && Number.isSafeInteger(value) ? value : undefined
  try {
    return typeof value === 'string' ? parseSize(value) : undefined
  } catch {
    return undefined
  }
}

function invalid (line: number, why: string): never {
  throw new ElderError('RECIPE_INVALID', `${ELDER_JSON}, line ${line}: ${why}`, FIX, { line })
}
