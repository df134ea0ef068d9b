/**
 * As an ordinary user a build has the rights of this node's user. Where the kernel lets such a user make namespaces,
 * the build sees empty folders in place of what is the node's alone, and cannot look around them: no capability is left
 * to unmount, and a process outside of its user namespace is not its to trace.
 */
import { runTool } from '../run-tool.ts'
import { findTool } from '../system-tools.ts'

/** Arguments: the folders to cover, `--`, the program. What cannot be covered ends the build before it begins. */
const COVER = `while [ "$1" != -- ]; do
  [ ! -d "$1" ] || mount -t tmpfs -o ro,size=4k,mode=0500 none "$1" || exit 125
  shift
done
shift
exec "$@"`

export class Mask {
  /** What goes before the program of a build. */
  readonly command: string[]

  private constructor (command: string[]) { this.command = command }

  /** Tries it with the folders themselves. Undefined where it does not work. */
  static async open (hide: string[]): Promise<Mask | undefined> {
    const [unshare, setpriv, sh] = ['unshare', 'setpriv', 'sh'].map(name => findTool(name))
    if (unshare === undefined || setpriv === undefined || sh === undefined || hide.length === 0) return undefined
    const command = [
      unshare, '--user', '--map-current-user', '--keep-caps', '--mount', '--propagation', 'private', '--',
      sh, '-c', COVER, 'sh', ...hide, '--',
      setpriv, '--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs', '--',
    ]
    const [program = '', ...args] = [...command, 'true']
    return await runTool(program, args).then(() => new Mask(command), () => undefined)
  }
}
