/** `settings.json` in the data directory: what the owner of this device set. The node's own state stays in config.json. */
import { dirname } from 'node:path'
import { ElderError } from '@elder-node/protocol'
import { makePrivateDir, readIfThere, writeAtomic } from './files.ts'

type Value = string | number | boolean | string[]

const BYTES_MAX = 65_536

/** By key; also keys that this version does not know. Empty when there is no file. @throws ElderError `SETTINGS_DAMAGED`, `STORAGE` */
export function readSettingsFile (path: string): Record<string, Value> {
  const text = readText(path)
  if (text === undefined) return {}
  try {
    if (text.length > BYTES_MAX) throw new Error(`it is longer than ${BYTES_MAX} bytes`)
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('it is not an object')
    const wrong = Object.entries(value).find(([, item]) => !isValue(item))
    if (wrong !== undefined) throw new Error(`${wrong[0]} is neither text, a number, true, false nor a list of texts`)
    return value as Record<string, Value>
  } catch (error) {
    throw new ElderError('SETTINGS_DAMAGED', `${path} cannot be read: ${(error as Error).message}`, 'Correct it in an editor, or remove it and set again: elder-node config set <key> <value>', { path })
  }
}

/** 0600, all or nothing, durable. @throws ElderError `DISK_FULL`, `STORAGE` */
export function writeSettingsFile (path: string, values: Readonly<Record<string, Value>>): void {
  makePrivateDir(dirname(path))
  const sorted = Object.fromEntries(Object.entries(values).sort(([a], [b]) => a < b ? -1 : 1))
  writeAtomic(path, new TextEncoder().encode(`${JSON.stringify(sorted, null, 2)}\n`))
}

/** A folder that is none, or not there yet, holds no settings. */
function readText (path: string): string | undefined {
  try {
    const bytes = readIfThere(path)
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
  } catch (error) {
    const { code, message } = (error as Error).cause as NodeJS.ErrnoException
    if (code === 'ENOTDIR') return undefined
    throw new ElderError('STORAGE', `Cannot read ${path}: ${message}`, 'Check who owns the data directory.', { path }, { cause: error })
  }
}

function isValue (item: unknown): item is Value {
  return ['string', 'number', 'boolean'].includes(typeof item) || (Array.isArray(item) && item.every(one => typeof one === 'string'))
}
