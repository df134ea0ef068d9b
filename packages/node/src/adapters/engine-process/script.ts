/** The shell texts between this node and a build. Pure: text in, text out. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
/** What a POSIX shell adds to the environment on its own. */
const SHELL_VARIABLES = ['PWD', 'OLDPWD', 'SHLVL', '_']

function quote (text: string): string { return `'${text.replaceAll('\'', '\'\\\'\'')}'` }

/**
 * Runs as the build's user, after every privilege is gone: sets exactly the given environment, enters the working directory
 * and becomes the command. The values travel in this file, not in argv (every user reads argv) and not in the environment
 * of the launcher (an LD_PRELOAD of the requester would run as root).
 *
 * @throws for a name that no shell can set or a value with a NUL.
 */
export function buildScript (env: Record<string, string>, cwd: string, envTool: string): string {
  const exports = Object.entries(env).map(([name, value]) => {
    if (!NAME.test(name) || value.includes('\0')) {
      throw new Error(`"${name}" cannot be passed to a build: names are letters, digits and underscores, values hold no NUL`)
    }
    return `export ${name}=${quote(value)}`
  })
  const drop = SHELL_VARIABLES.filter(name => env[name] === undefined).map(name => `-u ${name}`).join(' ')
  return `cd -- ${quote(cwd)} || exit 125\n${exports.join('\n')}\nexec ${envTool} ${drop} -- "$@"\n`
}

/**
 * First process of the root launcher: refuses to run when its parent is already gone (the parent-death signal was set too
 * late), joins the cgroups given before `--`, lowers its own standing with the OOM killer, and becomes the rest.
 * Arguments: parent pid, cgroup.procs files, `--`, command.
 */
export const LAUNCH = `[ "$PPID" = "$1" ] || exit 125
shift
while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done
shift
ulimit -c 0
echo 500 > /proc/self/oom_score_adj
exec "$@"`

/** Process 1 of the build's PID namespace: reaps orphans; the kernel kills what is left when it ends. */
export const INIT = '"$@"; exit $?'

/**
 * Holds a pipe to the node. A line means that the build ended; end of file means that the node died: kills the process group
 * and, where /proc shows environments, every process that carries the build's private TMPDIR (a session of its own is outside
 * the group). Arguments: process group, TMPDIR, grep.
 */
export const WATCHDOG = `read -r done && exit 0
kill -9 -- "-$1"
for turn in 1 2 3; do
  for f in $("$3" -lzxF "TMPDIR=$2" /proc/[0-9]*/environ 2>/dev/null); do
    p=\${f#/proc/}
    kill -9 "\${p%/environ}"
  done
done`

/** The same for a build that has a user of its own: the kernel kills all of that user's processes in one step. Arguments: sh, command that drops to the user. */
export const UID_WATCHDOG = `read -r done && exit 0
sh=$1
shift
"$@" "$sh" -c 'kill -9 -1'
"$@" "$sh" -c 'kill -9 -1'`
