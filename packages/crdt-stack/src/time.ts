import { wallMsOf } from '@elder-node/protocol'

/** ISO 8601 in UTC with milliseconds, from a hybrid logical clock. Days to civil date: Howard Hinnant, chrono-compatible low-level date algorithms. */
export function isoOf (at: number): string {
  const ms = wallMsOf(at)
  const days = Math.floor(ms / 86_400_000)
  const [year, month, day] = civil(days)
  const rest = ms - days * 86_400_000
  const time = [Math.floor(rest / 3_600_000), Math.floor(rest / 60_000) % 60, Math.floor(rest / 1000) % 60].map(n => pad(n, 2)).join(':')
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T${time}.${pad(rest % 1000, 3)}Z`
}

function civil (days: number): [year: number, month: number, day: number] {
  const z = days + 719_468
  const era = Math.floor(z / 146_097)
  const doe = z - era * 146_097
  const yoe = Math.floor((doe - Math.floor(doe / 1460) + Math.floor(doe / 36_524) - Math.floor(doe / 146_096)) / 365)
  const doy = doe - (365 * yoe + Math.floor(yoe / 4) - Math.floor(yoe / 100))
  const mp = Math.floor((5 * doy + 2) / 153)
  const month = mp < 10 ? mp + 3 : mp - 9
  return [yoe + era * 400 + (month <= 2 ? 1 : 0), month, doy - Math.floor((153 * mp + 2) / 5) + 1]
}

function pad (value: number, width: number): string { return String(value).padStart(width, '0') }
