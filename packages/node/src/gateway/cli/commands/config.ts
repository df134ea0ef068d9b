/** `config`: what the owner of this device sets. Works on the file, so also while no node runs. */
import type { Command } from 'commander'
import { lockHolder } from '../../../adapters/lock.ts'
import { dataDirAt } from '../../../adapters/data-dir.ts'
import { readSettingsFile, writeSettingsFile } from '../../../adapters/settings-file.ts'
import { SETTINGS } from '../../../device-config/catalogue.ts'
import type { Setting } from '../../../device-config/catalogue.ts'
import { resolveSetting, settingOf, textOf, valueOf } from '../../../device-config/resolve.ts'
import type { Resolved, StoredSettings } from '../../../device-config/resolve.ts'
import { table } from '../../render/table.ts'
import { plain } from '../../render/units.ts'
import type { Kit } from '../command.ts'
import type { Context } from '../context.ts'

const help = (lines: string): string => `\nExamples:\n${lines}`
const LIST = '  elder-node config list\n  elder-node config list --sources\n  elder-node config list --json | jq \'.settings[] | {key, source}\''

export function register (command: Command, { act }: Kit): void {
  command.action(act(list)).option('--sources', 'where each value comes from')
    .addHelpText('after', `\nA flag of \`join\` goes before the environment, that before settings.json,\nthat before the default. What \`join\` was told stays in settings.json.\n${help(LIST)}\n  elder-node config set slots 2`)
  command.command('list').description('every setting').option('--sources', 'where each value comes from').action(act(list)).addHelpText('after', help(LIST))
  command.command('get').description('one value, alone on a line').argument('<key>', 'see config list').action(act(get))
    .addHelpText('after', help('  elder-node config get slots\n  elder-node config get mirror.idle --json'))
  command.command('set').description('keep a value for the next start').argument('<key>', 'see config list').argument('<value...>', 'several words make a list').action(act(set))
    .addHelpText('after', help('  elder-node config set slots 2\n  elder-node config set limits.memory 4g\n  elder-node config set announce /ip4/100.64.0.7/tcp/4707'))
  command.command('unset').description('back to the default').argument('<key>', 'see config list').action(act(unset))
    .addHelpText('after', help('  elder-node config unset slots'))
}

async function list (context: Context, { sources }: { sources?: true }): Promise<void> {
  const all = SETTINGS.map(setting => resolved(context, setting))
  const unknown = Object.keys(stored(context)).filter(key => !SETTINGS.some(setting => setting.key === key))
  for (const key of unknown) context.output.warn(`settings.json holds "${key}", which this version does not know: it is kept and says nothing`)
  const paint = context.output.paint
  context.output.answer('config-list', { settings: all.map(documentOf) }, () => (sources === true
    ? table([{ title: 'SETTING' }, { title: 'VALUE', flexible: true }, { title: 'FROM' }], all.map(one => [one.setting.key, shown(one), sourceOf(one)]), paint)
    : all.flatMap(one => [`${one.setting.key} = ${plain(shown(one))}`, paint('dim', `  ${one.setting.description}`)])).join('\n'))
}

async function get (context: Context, _options: object, [key = '']: string[]): Promise<void> {
  const one = resolved(context, settingOf(key))
  context.output.answer('config', documentOf(one), () => one.text)
}

async function set (context: Context, _options: object, [key = '', ...words]: string[]): Promise<void> {
  const setting = settingOf(key)
  const value = valueOf(setting, words.join(' '))
  change(context, setting, { ...stored(context), [key]: setting.type.json?.(value) ?? words.join(' ') })
}

async function unset (context: Context, _options: object, [key = '']: string[]): Promise<void> {
  const setting = settingOf(key)
  const { [key]: _gone, ...rest } = stored(context)
  change(context, setting, rest)
}

function change (context: Context, setting: Setting, values: StoredSettings): void {
  const before = stored(context)[setting.key] ?? null
  writeSettingsFile(pathOf(context), values)
  const after = resolved(context, setting)
  const pid = lockHolder(dataDirAt(context.location.dir).lock)
  const waits = pid !== undefined && setting.applies === 'next start'
  context.output.answer('config', { ...documentOf(after), previous: before, running: pid !== undefined }, () => `${setting.key} = ${shown(after)}`)
  if (after.source === 'environment') context.output.warn(`${setting.env} is set here and goes before settings.json`)
  if (waits && !context.output.json) context.output.note(`The node that runs (process ${pid}) takes it at its next start.`)
}

function documentOf ({ setting, source, value, text }: Resolved): object {
  const { key, type, byDefault, description, applies, env } = setting
  return { key, value: value ?? null, text, source, default: 'words' in byDefault ? byDefault.words : textOf(byDefault.value), type: type.name, env, applies, description }
}

/** A default in words is no value. */
function shown ({ value, text }: Resolved): string { return value === undefined ? `(${text})` : text === '' ? '(none)' : text }

function sourceOf ({ source, setting }: Resolved): string { return { environment: setting.env, file: 'settings.json', default: 'default' }[source] }

function pathOf ({ location }: Context): string { return dataDirAt(location.dir).settings }
function stored (context: Context): StoredSettings { return readSettingsFile(pathOf(context)) }
function resolved (context: Context, setting: Setting): Resolved { return resolveSetting(setting, context.io.env, stored(context)) }
