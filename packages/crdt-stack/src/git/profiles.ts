/**
 * The ways in which git is run, as environment and settings. The rule is one: git runs, fetches and follows nothing that a
 * repository or another device named, and nothing of the caller's own GIT_* variables steers it.
 *
 * profile | looks at                          | reads                       | may connect to
 * --------|-----------------------------------|-----------------------------|------------------------------
 * foreign | the work tree that a person named | its settings, the person's  | nothing
 * own     | a bare repository that we made    | ours alone                  | nothing
 * network | our bare cache of a remote        | ours, the person's          | https, http, ssh, git
 * path    | the same, the remote is a folder  | ours, the person's          | that folder
 * serve   | what a git server of ours offers  | its own, with its hooks     | nothing
 */

export type GitProfile = 'foreign' | 'own' | 'network' | 'path' | 'serve'

/** What a person set for transport. Every other GIT_* of a hook or a shell could lead git to a foreign repository. */
const TRANSPORT = /^GIT_(SSL_\w+|ASKPASS|SSH|SSH_COMMAND|SSH_VARIANT|PROXY_\w+|HTTP_USER_AGENT|TRACE\w*)$/
/** Where a person's own settings are; needed for `safe.directory`, credential helpers and ignore rules. */
const PERSONAL = /^GIT_(CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)|EXEC_PATH)$/
const HOMES = new Set(['HOME', 'USERPROFILE', 'XDG_CONFIG_HOME', 'PATH', 'SystemRoot', 'TMPDIR', 'TEMP', 'SUDO_UID'])

/** Without an entry here a lazy fetch, a submodule or a helper has no way out, whatever version git is and whatever it is told. */
const PROTOCOLS: Record<GitProfile, string> = { foreign: '', own: '', network: 'https:http:ssh:git', path: 'file', serve: '' }

const EVERYWHERE = {
  GIT_NO_LAZY_FETCH: '1', GIT_NO_REPLACE_OBJECTS: '1', GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0', GIT_PAGER: 'cat', GIT_EDITOR: ':',
  SSH_ASKPASS_REQUIRE: 'never', GCM_INTERACTIVE: 'never', LC_ALL: 'C',
}
const NOT_THE_PERSONS = { HOME: '/nonexistent', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_ATTR_NOSYSTEM: '1' }

/**
 * Hooks and watchers are programs that a repository names; a collection in the background would outlive the call. An index may come
 * from an archive, with sizes and times of its packer's choice: a file counts as unchanged only by all that the disk says of it.
 */
const SETTINGS = [
  'core.checkStat=default', 'core.trustctime=true', 'core.ignoreStat=false',
  'core.hooksPath=/dev/null', 'core.fsmonitor=false', 'core.untrackedCache=false', 'core.alternateRefsCommand=:', 'gc.auto=0', 'gc.autoDetach=false',
  'maintenance.auto=false', 'submodule.recurse=false', 'fetch.recurseSubmodules=false',
]

/**
 * Objects from a remote are checked, stalls end, and only the host that was named is asked: no redirect, no bundle or pack from an
 * address that the server gives. No fsync: the cache is checked after every unclean end and fetched anew when the power cut it
 * short, which spares SD cards.
 */
const TRANSFER = [
  'core.fsync=none', 'core.logAllRefUpdates=false', 'core.bigFileThreshold=32m', 'transfer.fsckObjects=true', 'transfer.bundleURI=false', 'fetch.uriProtocols=',
  'fetch.unpackLimit=1', 'fetch.writeCommitGraph=false', 'push.gpgSign=false', 'credential.interactive=false', 'http.followRedirects=false',
  'http.lowSpeedLimit=1', 'http.lowSpeedTime=30',
]

const BY_PROFILE: Record<GitProfile, string[]> = {
  foreign: [...SETTINGS, 'safe.bareRepository=explicit'], own: SETTINGS, network: [...SETTINGS, ...TRANSFER], path: [...SETTINGS, ...TRANSFER], serve: [],
}

/** `personal`: an own repository, too, sees the person's ignore rules. */
export function gitEnvironment (profile: GitProfile, personal: boolean = profile !== 'own', base: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const isTransport = profile === 'network' || profile === 'path'
  const kept = Object.entries(base).filter(([name]) => {
    if (name.startsWith('GIT_')) return (isTransport && TRANSPORT.test(name)) || (personal && PERSONAL.test(name))
    // Proxies, ssh agents, credential stores: transport needs what the person has set, and nothing else does.
    return isTransport || HOMES.has(name)
  })
  return { PATH: '/usr/bin:/bin', ...Object.fromEntries(kept), ...personal ? {} : NOT_THE_PERSONS, ...EVERYWHERE, GIT_ALLOW_PROTOCOL: PROTOCOLS[profile] }
}

export function gitSettings (profile: GitProfile, more: readonly string[] = []): string[] {
  return [...BY_PROFILE[profile], ...more].flatMap(setting => ['-c', setting])
}

/** True for a folder of this machine, as a path or as `file://`. */
export function isPathRemote (url: string): boolean { return /^(?:file:\/\/|[/\\]|[A-Za-z]:[/\\])/.test(url) }

/** Settings for the git at the other end of a path: `-c` of ours does not reach it, and the folder may be anybody's. */
const SERVING = ['core.hooksPath=/dev/null', 'core.fsmonitor=false', 'core.alternateRefsCommand=:', 'gc.auto=0', 'receive.autogc=false', 'receive.denyCurrentBranch=refuse']

/** Options of fetch, push and ls-remote for a remote that is a folder: its hooks and commands stay off. */
export function servingOptions (url: string, service: 'upload-pack' | 'receive-pack'): string[] {
  return isPathRemote(url) ? [`--${service}=git ${SERVING.map(setting => `-c ${setting}`).join(' ')} ${service}`] : []
}
