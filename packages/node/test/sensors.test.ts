import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { LinuxSensors, openSensors, OtherSensors } from '../src/adapters/sensors.ts'
import { sensorsAcceptance } from './ports/sensors.ts'
import { MemorySensors } from './support/memory-sensors.ts'

const base = mkdtempSync(join(tmpdir(), 'elder-sensors-'))
afterAll(() => { rmSync(base, { recursive: true, force: true }) })
const put = async (files: Record<string, string>): Promise<void> => {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(base, path)), { recursive: true })
    await writeFile(join(base, path), text)
  }
}
const linux = (): LinuxSensors => new LinuxSensors({ dir: base, proc: join(base, 'proc'), sys: join(base, 'sys') })

test('linux: load is the share of ticks since the last sample, memory is what is available, pressure is PSI', async () => {
  await put({ 'proc/stat': 'cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n', 'proc/meminfo': 'MemTotal: 900 kB\nMemFree: 1 kB\nMemAvailable: 500 kB\n', 'proc/pressure/cpu': 'some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00\n' })
  const sensors = linux()
  expect(await sensors.sample()).toMatchObject({ load: 0.2, pressure: 0.125, memoryFreeBytes: 512_000, onBattery: false })
  expect((await sensors.sample()).load).toBe(0.2)
  await put({ 'proc/stat': 'cpu  175 0 100 725 100 0 0 0 0 0\n' })
  expect((await sensors.sample()).load).toBe(0.75)
  const { diskFreeBytes, diskTotalBytes } = await sensors.sample()
  expect(diskTotalBytes).toBeGreaterThan(diskFreeBytes)
  expect(diskFreeBytes).toBeGreaterThan(0)
})

test('linux: on battery only while it discharges and nothing else feeds the machine; a mouse does not count', async () => {
  const supply = (name: string, fields: Record<string, string>): Promise<void> => put(Object.fromEntries(Object.entries(fields).map(([file, text]) => [`sys/class/power_supply/${name}/${file}`, `${text}\n`])))
  const onBattery = async (): Promise<boolean> => (await linux().sample()).onBattery
  await supply('hidpp_battery_0', { type: 'Battery', status: 'Discharging', scope: 'Device' })
  expect(await onBattery()).toBe(false)
  await supply('BAT0', { type: 'Battery', status: 'Discharging' })
  await supply('AC', { type: 'Mains', online: '0' })
  expect(await onBattery()).toBe(true)
  await supply('AC', { type: 'Mains', online: '1' })
  expect(await onBattery()).toBe(false)
})

sensorsAcceptance('this machine', async () => openSensors({ dir: base }, {}))
sensorsAcceptance('a machine without files of Linux', async () => new OtherSensors({ dir: base }))
sensorsAcceptance('a file', async () => {
  await put({ 'readings.json': '{"load":0.9,"cores":64,"memoryFreeBytes":1000000}' })
  return openSensors({ dir: base }, { ELDER_SENSORS: join(base, 'readings.json') })
})
sensorsAcceptance('in memory', async () => new MemorySensors())

test('this machine is known by its platform', async () => {
  for (const sensors of [openSensors({ dir: base }, {}), new OtherSensors({ dir: base })]) expect((await sensors.facts()).platform).toBe(`${process.platform}/${process.arch}`)
})

test('ELDER_SENSORS: the file\'s fields replace the real ones, at every sample; what does not fit is left out; a file that never was readable is told', async () => {
  const file = join(base, 'sensors.json')
  await put({ 'sensors.json': '{"load":0.9,"pressure":0.5,"cores":64,"hostname":"pi","onBattery":"yes","unknown":1}' })
  const sensors = openSensors({ dir: base }, { ELDER_SENSORS: file })
  const sample = await sensors.sample()
  expect(sample).toMatchObject({ load: 0.9, pressure: 0.5, onBattery: false })
  expect(sample).not.toHaveProperty('unknown')
  expect(await sensors.facts()).toMatchObject({ cores: 64, hostname: 'pi' })
  await put({ 'sensors.json': '{"load":0.1}' })
  expect((await sensors.sample()).load).toBe(0.1)
  await put({ 'sensors.json': '[]' })
  expect((await sensors.sample()).load).toBe(0.1)
  await expect(openSensors({ dir: base }, { ELDER_SENSORS: file }).sample()).rejects.toMatchObject({ code: 'SENSORS_INVALID' })
})
