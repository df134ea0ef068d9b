/**
 * What a stack is called between devices.
 *
 * key := stackId                  a stack of this mesh
 *      | stackId "@" meshId       an archived stack, restored from another mesh
 *
 * The name travels with the key, and is checked: the stack id is a hash of the name.
 */
import { fromBase32, toBase32, utf8 } from '../codec/text.ts'
import type { Crypto } from '../crypto.ts'
import { MalformedError } from '../errors.ts'
import { stackId, type MeshId, type StackId } from '../ids.ts'

/** Safe as a path component. */
export type StackKey = string & { readonly __brand: 'StackKey' }

/** The reserved stack of what every device must know (remotes, policies). No user can name it: a stack name starts with a letter or a digit. */
export const SETTINGS_STACK = '_mesh'

/** As `stackId`, and the settings stack has an id too. @throws ElderError `STACK_NAME` */
export function stackIdOf (name: string, crypto: Crypto): StackId {
  if (name !== SETTINGS_STACK) return stackId(name, crypto)
  return toBase32(crypto.sha256(utf8('elder/stack/v1\0'), utf8(name)).subarray(0, 16)) as StackId
}

export function stackKey (id: StackId, archivedFrom?: MeshId): StackKey {
  return (archivedFrom === undefined ? id : `${id}@${archivedFrom}`) as StackKey
}

/** @throws MalformedError */
export function parseStackKey (text: unknown): { key: StackKey, id: StackId, archivedFrom: MeshId | undefined } {
  const [id, mesh, ...rest] = typeof text === 'string' && text.length <= 53 ? text.split('@') : []
  if (!isShortId(id) || (mesh !== undefined && !isShortId(mesh)) || rest.length > 0) throw new MalformedError('a stack key is <stackId> or <stackId>@<meshId>')
  return { key: text as StackKey, id: id as StackId, archivedFrom: mesh as MeshId | undefined }
}

/** @throws MalformedError unless the key's stack id is the hash of the name. The settings stack is never archived. */
export function checkNamed (key: StackKey, name: unknown, crypto: Crypto): string {
  const { id, archivedFrom } = parseStackKey(key)
  if (typeof name !== 'string' || !isNamed(name, id, crypto)) throw new MalformedError('the name of a stack does not match its key', { key })
  if (name === SETTINGS_STACK && archivedFrom !== undefined) throw new MalformedError('the settings of another mesh do not travel')
  return name
}

function isNamed (name: string, id: StackId, crypto: Crypto): boolean {
  try {
    return stackIdOf(name, crypto) === id
  } catch {
    return false
  }
}

function isShortId (text: string | undefined): boolean {
  return text?.length === 26 && fromBase32(text)?.length === 16
}
