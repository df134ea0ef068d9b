/** Runs every check over the same facts, and repairs what is safe to repair. */
import { chmodSync, rmSync } from 'node:fs'
import { makePrivateDir } from '../../adapters/files.ts'
import type { Check, Finding, Repair } from './check.ts'
import type { Facts } from './facts.ts'
import { MACHINE } from './machine.ts'
import { MESH } from './mesh.ts'
import { PLACE } from './place.ts'

/** As `--json` prints it. */
export interface Diagnosed { name: string, status: Finding['status'], message: string, code: string | null, fix: string | null }
export interface Summary { ok: number, warn: number, fail: number, skip: number }

const CHECKS: Check[] = [...PLACE, ...MACHINE, ...MESH]

export function examine (facts: Facts): Diagnosed[] {
  return findings(facts).map(({ name, finding: { status, message, code = null, fix = null } }) => ({ name, status, message, code, fix: fix === '' ? null : fix }))
}

export function summaryOf (all: readonly Diagnosed[]): Summary {
  const count = (status: Finding['status']): number => all.filter(one => one.status === status).length
  return { ok: count('ok'), warn: count('warn'), fail: count('fail'), skip: count('skip') }
}

/** What would be done, each once. */
export function repairsOf (facts: Facts): Repair[] {
  const all = findings(facts).flatMap(({ finding }) => finding.repairs ?? [])
  return [...new Map(all.map(repair => [`${repair.do} ${repair.path}`, repair])).values()]
}

/** Does it and says what it did, or why not. */
export function repair (one: Repair): string {
  try {
    if (one.do === 'chmod') chmodSync(one.path, one.mode)
    if (one.do === 'remove') rmSync(one.path, { force: true })
    if (one.do === 'mkdir') makePrivateDir(one.path)
    return SAID[one.do](one)
  } catch (error) {
    return `could not ${SAID[one.do](one)}: ${(error as Error).message}`
  }
}

const SAID: { [D in Repair['do']]: (repair: Repair) => string } = {
  chmod: repair => `chmod ${repair.do === 'chmod' ? repair.mode.toString(8) : ''} ${repair.path}`,
  remove: ({ path }) => `rm ${path}`,
  mkdir: ({ path }) => `mkdir -m 700 ${path}`,
}

function findings (facts: Facts): Array<{ name: string, finding: Finding }> {
  return CHECKS.flatMap(({ name, decide }) => [decide(facts)].flat().map(finding => ({ name, finding })))
}
