/** Is what a page shows what there is? Word by word; ids, times, sizes, ports, engines and which of the devices it was may differ. */

/** Of the shown lines, the first that no line of the output is like. */
export function missing (shown: string[], output: string, devices: string[]): string | undefined {
  const real = output.split('\n').map((line) => line.trim())
  return shown.find((line) => line.trim() !== '' && line.trim() !== '…' && !real.some((other) => likeOf(line, devices).test(other)))
}

/** Devices differ in these, the processes of a test do not. */
const ENGINES = ['docker', 'podman', 'sandbox', 'process']
const PLATFORMS = ['linux/x64', 'linux/arm64']
const MEASURED = '\u0001'
const FIGURE = '[\\d.]+ (ms|s|min|B|kB|MB|GB|KiB|MiB|GiB)'

function likeOf (line: string, devices: string[]): RegExp {
  // A measured figure, its unit after a space, is one word; another time the unit may be another.
  const words = line.trim().replaceAll(/\d[\d.]* (ms|s|min|B|kB|MB|GB|KiB|MiB|GiB)\b/g, MEASURED)
  return new RegExp(`^${words.split(/\s+/).map((word) => patternOf(word, devices)).join('\\s+')}$`)
}

function patternOf (word: string, devices: string[]): string {
  if (word.includes('…')) return word.split('…').map((part) => part === '' ? '' : patternOf(part, devices)).join('.*')
  if (word === 'now' || /^\d+[smhd]$/.test(word)) return '(now|\\d+[smhd])'
  const [, name, rest] = /^([a-z]+)([,.:;]?)$/.exec(word) ?? []
  if (name !== undefined && devices.includes(name)) return `(${devices.join('|')})${escape(rest ?? '')}`
  if (ENGINES.includes(word)) return `(${ENGINES.join('|')})`
  if (PLATFORMS.includes(word)) return `(${PLATFORMS.join('|')})`
  // An id: long, of small letters or capitals with a digit among them.
  if (/^\(?(?=.*\d)(?=.*[a-z])[a-z\d]{7,}[),.:;]*$/i.test(word)) return '\\(?[a-zA-Z\\d]+[),.:;]*'
  return escape(word)
    .replaceAll(MEASURED, FIGURE)
    .replaceAll(/\d{4}-\d\d-\d\d/g, '\\d{4}-\\d\\d-\\d\\d')                                  // the day
    .replaceAll(/\d+\\\.\d+/g, '[\\d.]+')                                            // measured
    .replaceAll(/(?<![\d\]])\d+(?=(ms|s|%|B|kB|MB|GB|KiB|MiB|GiB|:)(?![a-z]))/g, '[\\d.]+')  // with a unit
    .replaceAll(/(?<=:)\d+/g, '\\d+')
    .replaceAll(/\d{4,}/g, '\\d+')                                                   // ports, processes, years
}

function escape (text: string): string { return text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&') }
