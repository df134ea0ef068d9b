/** Which addresses a remote may have. Pure. */
import { ElderError } from '@elder-node/protocol'

const URL_CHARS_MAX = 400
/** https, http, ssh and git, and `user@host:path`. Never `ext::`, never an option: ssh would read a host or user that begins with `-` as one. */
const TRAVELS = [
  // git decodes the host before ssh reads it.
  /^(?:https?|ssh|git):\/\/(?!(?:[^/]*@)?(?:-|%2d))[^\s/]+(?:\/\S*)?$/i,
  /^(?:[A-Za-z0-9._][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!\/\/)[^\s:-][^\s]*$/,
]
/** A folder of one device: git runs there with that device's rights, so the address never comes from another one. */
const STAYS = [/^file:\/\/\/[^\s]+$/, /^\/[^\s]+$/]
/** What a shell, a terminal or a unit would read as more than an address: it stands in commands that are there to be copied. Escaped as %xx it may come. */
const UNSAFE = /[^!-~\p{L}\p{M}\p{N}]|["'`$;|&<>(){}\\^*!]/u

export type Scope = 'mesh' | 'device'

/** Where an address means the same. @throws ElderError `REMOTE_URL`, `REMOTE_CREDENTIALS` */
export function scopeOf (url: string): Scope {
  const scope = STAYS.some(shape => shape.test(url)) ? 'device' : TRAVELS.some(shape => shape.test(url)) ? 'mesh' : undefined
  if (scope === undefined || url.length > URL_CHARS_MAX || UNSAFE.test(url)) {
    throw new ElderError('REMOTE_URL', 'This is not an address of a git repository.', 'Give https://host/path, ssh://host/path, user@host:path, or an absolute path for this device alone; write quotes, spaces and signs of the shell as %xx.')
  }
  const { username, password } = URL.canParse(url) ? new URL(url) : { username: '', password: '' }
  if (password !== '' || (/^https?:/.test(url) && username !== '')) {
    throw new ElderError('REMOTE_CREDENTIALS', 'The address holds credentials, and every device of the mesh would see them.', 'Leave them out; give them to git on this device: git credential approve, an SSH key, or a line in ~/.git-credentials.')
  }
  return scope
}
