/** What every implementation of the PrivateFiles port must do: the directory on disk, and the one in memory that tests of services use. */
import { describe, expect, test } from 'vitest'
import { STORE_FORMAT, seal } from '../../src/adapters/sealed.ts'
import type { PrivateFiles } from '../../src/ports/files.ts'

export interface PrivateFilesAcceptance {
  /** An empty directory; removed when the test ends. `bytes` are those that lie there, past the port; undefined when there is no such file. */
  make (): { files: PrivateFiles, bytes: (name: string) => Uint8Array | undefined, put: (name: string, bytes: Uint8Array) => void, fill: (full: boolean) => void }
}

const text = (words: string): Uint8Array => new Uint8Array(Buffer.from(words))
const codeOf = (act: () => unknown): unknown => { try { act() } catch (error) { return (error as { code?: unknown }).code } return undefined }
const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at, (bytes[at] as number) ^ 1)

export function privateFilesAcceptance (name: string, { make }: PrivateFilesAcceptance): void {
  describe(`${name}: a file`, () => {
    test('that is not there is undefined, whatever is asked', () => {
      const { files } = make()
      expect([files.read('a'), files.readCache('a'), files.readLog('a'), files.list(), files.list('folder')]).toEqual([undefined, undefined, undefined, [], []])
    })

    test('reads as it was written last, in folders too, and is a copy', () => {
      const { files } = make()
      const content = text('first')
      files.replace('a', content)
      content[0] = 0
      files.replace('folder/b', new Uint8Array())
      expect(files.read('a')).toEqual(text('first'))
      expect(files.read('folder/b')).toEqual(new Uint8Array())
      files.replace('a', text('second'))
      expect(files.readCache('a')).toEqual(text('second'))
      const read = files.read('a') as Uint8Array
      read[0] = 0
      expect(files.read('a')).toEqual(text('second'))
      expect([files.list(), files.list('folder')]).toEqual([['a', 'folder'], ['b']])
    })

    test('that is removed is not there, and may be removed again', () => {
      const { files } = make()
      files.replace('a', text('content'))
      files.replace('b', text('stays'))
      files.remove('a')
      files.remove('a')
      expect([files.read('a'), files.list()]).toEqual([undefined, ['b']])
    })

    test('of which any byte changed is named as damaged, and left as it is; a cache of it is undefined', () => {
      const { files, bytes, put } = make()
      files.replace('a', text('content'))
      const whole = bytes('a') as Uint8Array
      for (let at = 0; at < whole.length; at++) {
        put('a', flipped(whole, at))
        expect(codeOf(() => files.read('a'))).toBe('FILE_DAMAGED')
        expect(files.readCache('a')).toBeUndefined()
        expect(bytes('a')).toEqual(flipped(whole, at))
      }
      for (const cut of [new Uint8Array(), whole.slice(0, -1), Uint8Array.of(...whole, 0)]) {
        put('a', cut)
        expect(codeOf(() => files.read('a'))).toBe('FILE_DAMAGED')
      }
    })

    test('of another format is refused by name, never misread', () => {
      const { files, put } = make()
      for (const format of [STORE_FORMAT - 1, STORE_FORMAT + 1]) {
        put('a', seal(text('content'), format))
        expect(codeOf(() => files.read('a'))).toBe('STORE_OLD')
        expect(files.readCache('a')).toBeUndefined()
      }
    })

    test('that does not read is kept aside, whole, once for each damage', () => {
      const { files, bytes, put } = make()
      put('a', text('not what was written'))
      const asides = [files.keepAside('a'), files.keepAside('a')]
      expect(asides[1]).toBe(asides[0])
      put('a', text('other damage'))
      expect(files.keepAside('a')).not.toBe(asides[0])
      files.replace('a', text('anew'))
      const kept = files.list().filter(file => file !== 'a')
      expect(kept.map(file => Buffer.from(bytes(file) as Uint8Array).toString()).sort()).toEqual(['not what was written', 'other damage'])
      expect(kept.map(file => files.path(file))).toContain(asides[0])
    })

    test('is as it was when a write fails, and the next one works', () => {
      const { files, fill } = make()
      files.replace('a', text('before'))
      files.append('log', [text('one')])
      fill(true)
      for (const act of [() => { files.replace('a', text('x'.repeat(1 << 20))) }, () => { files.append('log', [text('x'.repeat(1 << 20))]) }]) {
        expect(codeOf(act)).toMatch(/^(DISK_FULL|STORAGE)$/)
      }
      fill(false)
      expect([files.read('a'), files.readLog('log')]).toEqual([text('before'), { entries: [text('one')], isTorn: false, isDamaged: false }])
      files.append('log', [text('two')])
      expect(files.readLog('log')?.entries).toEqual([text('one'), text('two')])
      expect(files.list()).toEqual(['a', 'log'])
    })
  })

  describe(`${name}: a log`, () => {
    test('holds its entries in order, and those of a replacement alone', () => {
      const { files } = make()
      files.append('log', [text('one'), text('two')])
      files.append('log', [text('three')])
      expect(files.readLog('log')).toEqual({ entries: [text('one'), text('two'), text('three')], isTorn: false, isDamaged: false })
      files.replaceLog('log', [text('only')])
      expect(files.readLog('log')?.entries).toEqual([text('only')])
    })

    test('cut anywhere is torn and keeps what is whole; a changed byte costs one entry and is said', () => {
      const { files, bytes, put } = make()
      files.append('log', [text('one')])
      const first = bytes('log') as Uint8Array
      files.append('log', [text('two')])
      const whole = bytes('log') as Uint8Array
      for (let length = first.length + 1; length < whole.length; length++) {
        put('log', whole.slice(0, length))
        expect(files.readLog('log')).toEqual({ entries: [text('one')], isTorn: true, isDamaged: false })
      }
      put('log', flipped(whole, first.length - 1))
      expect(files.readLog('log')).toEqual({ entries: [text('two')], isTorn: false, isDamaged: true })
    })
  })
}
