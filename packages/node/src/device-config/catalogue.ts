/**
 * Every setting of a device that its owner can change, in one table: `config` shows it, `createNode` reads through it, and the
 * reference in the documentation is made of it.
 *
 * What a setting means for the running code is its `init`: the part of {@link NodeInit} that it fills. A value given to
 * `createNode`, or as a flag of `join`, goes before the environment, that before `settings.json`, and that before the default.
 */
import type { EngineChoice } from '../ports/engine.ts'
import type { NodeInit } from '../config.ts'
import { addresses, cores, count, deviceName, duration, flag, oneOf, share, size, socket, variables, word } from './types.ts'
import type { SettingType, SettingValue } from './types.ts'

export interface Setting {
  readonly key: string
  readonly type: SettingType<SettingValue>
  readonly description: string
  /** What holds when nobody says otherwise: a value, or in words what it depends on. */
  readonly byDefault: { value: SettingValue } | { words: string }
  /** When a change takes hold. `now`: the commands read it themselves. */
  readonly applies: 'next start' | 'now'
  /** The environment variable. */
  readonly env: string
  readonly init: (value: SettingValue) => Partial<NodeInit>
}

const ENGINES: EngineChoice[] = ['auto', 'docker', 'podman', 'sandbox', 'process', 'none']

export const SETTINGS: readonly Setting[] = [
  setting('name', deviceName, { words: 'the host name' }, 'the name this device asks for when it joins a mesh', name => ({ name })),
  setting('listen', addresses, { words: 'every interface, port 4707 or a free one' }, 'addresses to listen on; port 0 picks a free port at the first start and keeps it', listen => ({ listen })),
  setting('announce', addresses, { words: 'none' }, 'addresses told to other devices besides those of the interfaces: a forwarded port, a name', announce => ({ announce })),
  setting('mdns', flag, { value: true }, 'look for members on the local network, and be found there', mdns => ({ mdns })),
  setting('slots', count, { words: 'a quarter of the cores, 0 on battery' }, 'builds at once; 0 accepts none', slots => ({ slots })),
  setting('engine', oneOf(...ENGINES), { value: 'auto' }, 'what runs builds; process has no isolation', engine => ({ engine })),
  setting('image', word, { words: 'the image of the engine' }, 'what a build runs in that names no image (Docker, Podman)', image => ({ image })),
  setting('build.network', oneOf('full', 'none'), { value: 'full' }, 'what a build that is not sealed may reach', buildNetwork => ({ buildNetwork })),
  setting('build.trust', flag, { value: false }, 'on an admin device, builds of the process engine may run as your own user', trustBuilds => ({ trustBuilds })),
  setting('build.env', variables, { words: 'certificates, proxies and registries' }, 'more of your environment variables that every build gets', buildEnv => ({ buildEnv })),
  setting('limits.cpus', cores, { words: 'all cores' }, 'cores that one build may use', cpus => ({ limits: { cpus } })),
  setting('limits.memory', size, { words: '80 % of the memory' }, 'memory that one build may use', memoryBytes => ({ limits: { memoryBytes } })),
  setting('limits.disk', size, { value: '20g' }, 'what one build may write to disk', diskBytes => ({ limits: { diskBytes } })),
  setting('election.explore', share, { value: 0.02 }, 'share of builds that try a builder unused for ten minutes', explore => ({ explore })),
  setting('mirror.idle', duration, { value: '30s' }, 'how long a changed stack rests before it is pushed', idle => ({ mirrorDelayMs: { idle } })),
  setting('mirror.max', duration, { value: '5m' }, 'how long a push waits at most while changes go on', max => ({ mirrorDelayMs: { max } })),
  setting('http.listen', socket, { words: 'auto: loopback, port 4708 or a free one' }, 'where /healthz, /readyz and /metrics answer, or off', http => ({ http })),
  setting('relay', oneOf('auto', 'on', 'off'), { value: 'auto' }, 'pass connections on between members that cannot dial each other; auto: once another network has reached this device', relay => ({ relay })),
  setting('recovery.saved', flag, { value: false }, 'you keep the recovery text of the mesh: doctor then trusts one admin', () => ({}), 'now'),
]

/** `limits.memory` is `ELDER_NODE_LIMITS_MEMORY`. */
function envOf (key: string): string { return `ELDER_NODE_${key.toUpperCase().replaceAll(/[.-]/g, '_')}` }

function setting<T extends SettingValue> (
  key: string, type: SettingType<T>, byDefault: Setting['byDefault'], description: string, init: (value: T) => Partial<NodeInit>, applies: Setting['applies'] = 'next start',
): Setting {
  // A value only ever comes from the same setting's own parse.
  return { key, byDefault, description, applies, env: envOf(key), type: type as unknown as SettingType<SettingValue>, init: init as (value: SettingValue) => Partial<NodeInit> }
}
