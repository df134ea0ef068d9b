/**
 * Podman's default filter of system calls lets a container make user namespaces, and within one it has every privilege over the
 * kernel's code for mounts, networks and keys. A build needs none: the filter that is installed here, less the calls that the
 * sandbox withholds too. (Docker's own default withholds them already, and cannot be read to be taken as a base.)
 */
import { readFile } from 'node:fs/promises'
import { ABSENT, DENIED } from '../engine-sandbox/seccomp.ts'

interface Rule { names: string[], action: string, errnoRet?: number, args?: unknown }
/** https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp, with Podman's conditions kept as they are. */
export interface SeccompProfile { syscalls: Rule[] }

const EPERM = 1
const ENOSYS = 38
/** Flags of clone that make namespaces. */
const CLONE_NEW = 0x7e020000

/** The same filter without what only namespaces and privileges are made of. Pure. */
export function tightened<P extends SeccompProfile> (profile: P): P {
  const withheld = (name: string): boolean => name === 'clone' || name in DENIED || name in ABSENT
  const known = new Set(profile.syscalls.flatMap(rule => rule.names))
  const rest = profile.syscalls.map(rule => ({ ...rule, names: rule.names.filter(name => !withheld(name)) })).filter(rule => rule.names.length > 0)
  const refuse = (table: object, errnoRet: number): Rule => ({ names: Object.keys(table).filter(name => known.has(name)), action: 'SCMP_ACT_ERRNO', errnoRet, args: [] })
  return {
    ...profile,
    syscalls: [
      ...rest, refuse(DENIED, EPERM), refuse(ABSENT, ENOSYS),
      { names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: CLONE_NEW, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }] },
    ].filter(rule => rule.names.length > 0),
  }
}

/** Undefined when the filter cannot be read here, as when Podman runs in another machine. */
export async function readTightened (path: string | undefined): Promise<string | undefined> {
  try {
    return JSON.stringify(tightened(JSON.parse(await readFile(path ?? '', 'utf8')) as SeccompProfile))
  } catch {
    return undefined
  }
}
