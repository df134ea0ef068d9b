import { describe, expect, it } from 'vitest'
import { Detector, type DetectorEffect, type DeviceId, type Rumour } from '../../src/index.ts'

const [self, b, c, d] = ['self', 'b', 'c', 'd'] as DeviceId[] as [DeviceId, DeviceId, DeviceId, DeviceId]

/** A detector among b, c and d, which have each said that they are at incarnation 10. */
function watching (): Detector {
  const detector = new Detector({ self, incarnation: 10, random: () => 0.5 })
  for (const device of [b, c, d]) {
    detector.handle({ type: 'joined', device }, 0)
    detector.handle({ type: 'answered', from: device, rttMs: 1, word: { incarnation: 10, rumours: [] } }, 1)
  }
  return detector
}
const tell = (detector: Detector, rumour: Rumour): DetectorEffect[] => detector.handle({ type: 'probed', from: d, word: { incarnation: 10, rumours: [rumour] } }, 2)

describe('rumours', () => {
  it('of a suspicion are looked into at once, and the accused hears of it first', () => {
    const effects = tell(watching(), { device: b, incarnation: 10, by: c })
    expect(effects).toContainEqual({ type: 'suspect', device: b })
    expect(effects).toContainEqual({ type: 'probe', to: b, word: { incarnation: 10, rumours: [{ device: b, incarnation: 10, by: c }] } })
  })

  it('that were refuted, that leap, or that are of strangers change nothing', () => {
    for (const rumour of [{ device: b, incarnation: 9, by: c }, { device: b, incarnation: 2_000_000, by: c }, { device: b, incarnation: 2_000_000, by: undefined }, { device: 'x' as DeviceId, incarnation: 10, by: c }, { device: b, incarnation: 10, by: b }]) {
      const detector = watching()
      expect(tell(detector, rumour).map(effect => effect.type)).toEqual(['answer'])
      expect(detector.state(b)).toBe('alive')
      expect(detector.incarnationOf(b)).toBe(10)
    }
  })

  it('of ourselves are refuted with a higher incarnation, but nobody drives it to the end', () => {
    const detector = watching()
    const [answer] = tell(detector, { device: self, incarnation: 10, by: c })
    expect(answer).toMatchObject({ type: 'answer', word: { incarnation: 11, rumours: [{ device: self, incarnation: 11 }] } })
    tell(detector, { device: self, incarnation: 10, by: b })
    tell(detector, { device: self, incarnation: 5_000_000, by: c })
    expect(detector.incarnation).toBe(11)
  })

  it('of a refutation end the suspicion; an answer of the same incarnation does not', () => {
    const detector = watching()
    tell(detector, { device: b, incarnation: 10, by: c })
    detector.handle({ type: 'answered', from: b, rttMs: 1, word: { incarnation: 10, rumours: [] } }, 3)
    expect(detector.state(b)).toBe('suspect')
    expect(tell(detector, { device: b, incarnation: 11, by: undefined })).toContainEqual({ type: 'cleared', device: b })
    expect(detector.state(b)).toBe('alive')
  })
})

describe('helping', () => {
  it('is bounded per asker: beyond it the answer is no, at once', () => {
    const detector = watching()
    const ask = (id: number): DetectorEffect[] => detector.handle({ type: 'asked', from: c, id, target: b, word: { incarnation: 10, rumours: [] } }, 2)
    for (let id = 0; id < 8; id++) expect(ask(id)).toMatchObject([{ type: 'probe', to: b }])
    expect(ask(8)).toMatchObject([{ type: 'relay', to: c, id: 8, reached: false }])
  })
})
