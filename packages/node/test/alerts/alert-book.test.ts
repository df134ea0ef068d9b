import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { AlertBook, type Finding } from '../../src/services/alerts/alert-book.ts'
import { ALERTS, type AlertCode } from '../../src/services/alerts/catalogue.ts'

const MINUTE = 60_000
const finding = (code: string, over: Partial<Finding> = {}): Finding => ({ code, about: 'x', message: 'm.', fix: 'f', ...over })
const fires = (book: AlertBook, findings: Finding[], atMs: number): string[] => book.evaluate(findings, atMs).map(({ code }) => code)

test('a condition without a hold is told at once, and as long as it is there', () => {
  const book = new AlertBook()
  expect(fires(book, [finding('DISK_LOW')], 0)).toEqual(['DISK_LOW'])
  expect(fires(book, [], 1)).toEqual([])
})

test('a hold begins anew when the condition was gone in between', () => {
  const book = new AlertBook()
  const down = [finding('DEVICE_DOWN')]
  expect(fires(book, down, 0)).toEqual([])
  expect(fires(book, down, MINUTE - 1)).toEqual([])
  expect(fires(book, [], MINUTE)).toEqual([])
  expect(fires(book, down, MINUTE + 1)).toEqual([])
  expect(fires(book, down, 2 * MINUTE + 1)).toEqual(['DEVICE_DOWN'])
})

test('a machine that slept blames nobody for the time; what fired before goes on', () => {
  const book = new AlertBook()
  expect(fires(book, [finding('DEVICE_DOWN'), finding('DISK_LOW')], 0)).toEqual(['DISK_LOW'])
  expect(fires(book, [finding('DEVICE_DOWN'), finding('DISK_LOW')], 600 * MINUTE)).toEqual(['DISK_LOW'])
  expect(fires(book, [finding('DEVICE_DOWN')], 601 * MINUTE)).toEqual(['DEVICE_DOWN'])
})

test('what is written down counts, once this node has seen it for two minutes', () => {
  const book = new AlertBook()
  const stale = [finding('MIRROR_STALE', { heldMs: 5 * 60 * MINUTE })]
  expect([0, 1, 2].map(minute => fires(book, stale, minute * MINUTE))).toEqual([[], [], ['MIRROR_STALE']])
})

test('one device does not hold the time of another; the order is that of the catalogue', () => {
  const book = new AlertBook()
  const mini = finding('DEVICE_DOWN', { about: 'mini' })
  const pi = finding('DEVICE_DOWN', { about: 'pi', message: 'pi.' })
  fires(book, [mini], 0)
  expect(book.evaluate([finding('ONLY_COPY'), finding('FEED_DAMAGED'), pi, mini], MINUTE).map(({ code }) => code)).toEqual(['FEED_DAMAGED', 'DEVICE_DOWN', 'ONLY_COPY'])
})

const codes = Object.keys(ALERTS) as AlertCode[]
const look = fc.record({ code: fc.constantFrom(...codes), stepMs: fc.integer({ min: 0, max: 3 * MINUTE }), there: fc.boolean() })

test('whatever is seen when: it fires exactly if it was there at every look for its hold, or already fired', () => {
  fc.assert(fc.property(fc.constantFrom(...codes), fc.array(look, { maxLength: 60 }), (code, looks) => {
    const book = new AlertBook()
    let now = 0
    let since: number | undefined
    let firing = false
    for (const { stepMs, there } of looks) {
      now += stepMs
      since = there ? since ?? now : undefined
      firing = since !== undefined && (firing || now - since >= ALERTS[code].holdMs)
      expect(fires(book, there ? [finding(code)] : [], now)).toEqual(firing ? [code] : [])
    }
  }))
})
