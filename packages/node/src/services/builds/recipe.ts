/** What `.elder.json` says of a project's builds; flags go before it. */
import { ElderError } from '@elder-node/protocol'
import type { BuildRequest } from '../../api.ts'
import type { Snapshot, SourceReader } from '../../ports/source.ts'

export interface Recipe { prepare: string | null, outputs: string[], image: string | null, memoryBytes: number | null, cpus: number | null, platform: string | null }

/** @throws ElderError `RECIPE_INVALID` when the file is there and not what it should be. */
export async function readRecipe (reader: SourceReader, snapshot: Snapshot, request: BuildRequest): Promise<Recipe> {
  const file = await reader.read(snapshot, '.elder.json')
  const { prepare, outputs, image, needs } = file === undefined ? {} as Fields : buildFields(file)
  return {
    prepare: request.prepare ?? text(prepare, 'prepare'), outputs: request.outputs ?? texts(outputs), image: text(image, 'image'),
    memoryBytes: request.memoryBytes ?? number(needs?.['memoryBytes'], 'needs.memoryBytes'), cpus: request.cpus ?? number(needs?.['cpus'], 'needs.cpus'),
    platform: text(needs?.['platform'], 'needs.platform'),
  }
}

interface Fields { prepare?: unknown, outputs?: unknown, image?: unknown, needs?: Record<string, unknown> }

function buildFields (file: Uint8Array): Fields {
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(file)) as { build?: Fields }
    return value.build ?? {}
  } catch (error) {
    throw invalid(`it is not JSON: ${(error as Error).message}`)
  }
}

function text (value: unknown, name: string): string | null {
  if (value === undefined || value === null) return null
  if (typeof value !== 'string') throw invalid(`build.${name} is a text`)
  return value
}

function texts (value: unknown): string[] {
  if (value === undefined) return []
  if (!Array.isArray(value) || !value.every(item => typeof item === 'string')) throw invalid('build.outputs is a list of globs')
  return value
}

function number (value: unknown, name: string): number | null {
  if (value === undefined || value === null) return null
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) throw invalid(`build.${name} is a positive number`)
  return value
}

function invalid (why: string): ElderError { return new ElderError('RECIPE_INVALID', `.elder.json: ${why}`, 'Write it as {"build":{"prepare":"npm ci","outputs":["dist/**"]}}.') }
