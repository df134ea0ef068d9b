/** What kinds of values a setting can have: how each is typed, checked, kept as JSON, and explained to who typed it wrong. */
import { parseCount, parseDuration, parseSize } from '../quantities.ts'

export type SettingValue = string | number | boolean | string[]

export interface SettingType<T extends SettingValue> {
  /** What a value is, for a sentence: "a size". */
  readonly name: string
  readonly example: string
  /** Throws anything when the text is no such value. */
  readonly parse: (text: string) => T
  /** How it stands in settings.json. @default the text */
  readonly json?: (value: T) => SettingValue
}

const ADDRESS = /^\/(ip4|ip6|dns|dns4|dns6|dnsaddr)\/[^/\s]+\/(tcp|udp)\/\d{1,5}(\/[^\s,]*)?$/
const IP4 = /^(\d{1,3}\.){3}\d{1,3}$/
const IP6 = /^[0-9a-fA-F]*:[0-9a-fA-F:.]*(%\w+)?$/
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/
const HOST_PORT = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/
const PORT_MAX = 65_535

export const deviceName: SettingType<string> = { name: 'a device name', example: 'mini', parse: text => matching(text, /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/) }
export const word: SettingType<string> = { name: 'a word without spaces', example: 'node:24', parse: text => matching(text, /^[^\s\0-][^\s\0]{0,255}$/) }
export const flag: SettingType<boolean> = { name: 'yes or no', example: 'yes', parse: flagOf, json: value => value }
export const count: SettingType<number> = { name: 'a whole number', example: '2', parse: text => parseCount(text, { min: 0, integer: true }), json: value => value }
export const cores: SettingType<number> = { name: 'a number of cores', example: '1.5', parse: text => positive(parseCount(text, { min: 0, integer: false })), json: value => value }
export const share: SettingType<number> = { name: 'a share from 0 to 1', example: '0.02', parse: text => atMost(parseCount(text, { min: 0, integer: false }), 1), json: value => value }
/** In bytes. */
export const size: SettingType<number> = { name: 'a size', example: '2g', parse: parseSize }
/** In milliseconds. */
export const duration: SettingType<number> = { name: 'a duration', example: '30s', parse: parseDuration }
export const addresses: SettingType<string[]> = { name: 'a list of addresses', example: '/ip4/0.0.0.0/tcp/4707', parse: text => listOf(text).map(checkAddress), json: value => value }
export const variables: SettingType<string[]> = { name: 'a list of environment variables', example: 'GOPROXY,PIP_INDEX_URL', parse: text => listOf(text).map(item => matching(item, VARIABLE)), json: value => value }
export const socket: SettingType<string> = { name: 'host:port, auto or off', example: '127.0.0.1:9100', parse: text => text === 'off' || text === 'auto' ? text : checkSocket(text) }

export function oneOf<T extends string> (...words: T[]): SettingType<T> {
  return { name: `one of ${words.join(', ')}`, example: words[0] ?? '', parse: text => matching(text, new RegExp(`^(${words.join('|')})$`)) as T }
}

function matching (text: string, shape: RegExp): string {
  if (!shape.test(text)) throw new Error('another shape')
  return text
}

function flagOf (text: string): boolean {
  if (['yes', 'true', 'on', '1'].includes(text)) return true
  if (['no', 'false', 'off', '0'].includes(text)) return false
  throw new Error('neither')
}

function listOf (text: string): string[] { return text.split(/[\s,]+/).filter(item => item !== '') }

function checkAddress (text: string): string {
  const port = Number(/\/(?:tcp|udp)\/(\d+)/.exec(matching(text, ADDRESS))?.[1])
  atMost(port, PORT_MAX)
  const [, kind, host = ''] = text.split('/')
  if (kind === 'ip4' && !(IP4.test(host) && host.split('.').every(part => Number(part) <= 255))) throw new Error('no IPv4 address')
  if (kind === 'ip6' && !IP6.test(host)) throw new Error('no IPv6 address')
  return text
}

function checkSocket (text: string): string {
  atMost(Number(HOST_PORT.exec(matching(text, HOST_PORT))?.[2]), PORT_MAX)
  return text
}

function positive (value: number): number {
  if (value <= 0) throw new Error('not positive')
  return value
}

function atMost (value: number, max: number): number {
  if (value > max) throw new Error('too large')
  return value
}
