/** What people see: columns that fit, wide and hostile characters, a screen that is painted over. */
import fc from 'fast-check'
import { PassThrough } from 'node:stream'
import { describe, expect, test, vi } from 'vitest'
import type { MirrorStatus, Status } from '../../src/api.ts'
import type { Io, Screen } from '../../src/gateway/cli/io.ts'
import { Output } from '../../src/gateway/cli/output.ts'
import { Repaint } from '../../src/gateway/cli/repaint.ts'
import { renderStatus } from '../../src/gateway/render/status.ts'
import { renderEntries } from '../../src/gateway/render/stack.ts'
import { table } from '../../src/gateway/render/table.ts'
import { age, plain } from '../../src/gateway/render/units.ts'
import { fitTo, widthOf, wrap } from '../../src/gateway/render/width.ts'
import { Desk } from '../support/cli.ts'
import { device, FakeNode, MINI, SELF } from '../support/fake-node.ts'
import { eventually } from '../support/eventually.ts'

const bare = (_format: string, text: string): string => text
const NOW = Date.parse('2026-11-21T10:00:00.000Z')
const clusters = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

describe('columns', () => {
  test.each([
    ['plain', 5], ['', 0], ['構成', 4], ['e\u0301', 1], ['한글', 4], ['😀', 2], ['👩‍👩‍👧', 2], ['❤️', 2], ['❤', 1], ['ｱ', 1], ['Ａ', 2], ['\u001b[31mred\u001b[39m', 3], ['नमस्ते', 3], ['\u{1F1EB}\u{1F1F7}', 2],
  ])('%j takes %i', (text, columns) => { expect(widthOf(text)).toBe(columns) })

  test('a cut never splits a character, never is too wide, and says that it is one', () => {
    expect(fitTo('構成メモ', 6)).toBe('構成…')
    expect(fitTo('構成メモ', 8)).toBe('構成メモ')
    expect(fitTo('cafe\u0301s', 5)).toBe('cafe\u0301s')
    expect(fitTo('cafe\u0301s!', 5)).toBe('cafe\u0301…')
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 0, max: 20 }), (text, width) => {
      const cut = fitTo(text, width)
      expect(widthOf(cut)).toBeLessThanOrEqual(width)
      const whole = [...clusters.segment(text)].map(({ segment }) => segment)
      expect([...clusters.segment(cut.replace(/…$/, ''))].every(({ segment }, n) => segment === whole[n] || cut === text)).toBe(true)
    }), { numRuns: 200 })
  })

  test('text is broken at spaces', () => {
    expect(wrap('one two three', 7, '  ')).toEqual(['one two', '  three'])
    expect(wrap('http://a.very.long/word b', 10, '  ')).toEqual(['http://a.very.long/word', '  b'])
  })

  test('no table is wider than the terminal, whatever stands in it', () => {
    const columns = [{ title: 'A', flexible: true }, { title: 'B', align: 'right' as const }, { title: 'C', flexible: true }]
    fc.assert(fc.property(fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme', maxLength: 9 }), fc.string({ unit: 'grapheme', maxLength: 200 }))), fc.integer({ min: 40, max: 100 }), (rows, width) => {
      for (const line of table(columns, rows, bare, width)) expect(widthOf(line)).toBeLessThanOrEqual(width)
    }), { numRuns: 100 })
  })
})

test('text of peers is data: no escapes, no invisible characters, no line turned around, no towers of marks', () => {
  expect(plain('a\u001b[2Jb\u202Ec\u200Bd\u2028e\u00ADf\r\ng')).toBe('a·[2Jb·c·d·e·f··g')
  expect(plain('\uD800x')).toBe('·x')
  expect(plain(`Z${'\u0301'.repeat(500)}a`)).toBe(`Z${'\u0301'.repeat(4)}a`)
  expect(plain('one\n\ttwo\u001b', { lines: true })).toBe('one\n\ttwo·')
  expect(plain('👩‍👧 نص')).toBe('👩‍👧 نص')
})

test('ages in a narrow column', () => {
  expect([0, 40, 700, 7000, 200_000].map((seconds) => age(new Date(NOW - seconds * 1000).toISOString(), NOW))).toEqual(['now', '40s', '12m', '2h', '2d'])
  expect(age(null, NOW)).toBe('never')
})

describe('status', () => {
  const nothing = { cpu: null, memory: null, disk: null, slots: { total: 0, free: 0 }, engine: null }
  async function status (over: Partial<Status> = {}): Promise<Status> {
    return {
      ...await new FakeNode().status(),
      devices: [
        device(SELF), device(MINI, { disk: { totalBytes: 100, freeBytes: 9 }, suspect: true }),
        device({ id: 'd'.repeat(52), name: `a-device-with-a-name-${'that-is-long-'.repeat(3)}end` }, { rttMs: 123.4, path: 'relay' }),
        device({ id: 'c'.repeat(52), name: 'cabin' }, { ...nothing, online: false, path: 'none', lastSeen: '2026-11-21T07:00:00.000Z' }),
      ],
      builds: [{ id: '7f3c2a99', state: 'running', builder: MINI, attempt: 1, startedAt: '2026-11-21T09:59:19.000Z', command: ['make'], exitCode: null, requester: SELF }],
      stacks: [
        { name: 'my-repo', entries: 12, copies: 3, mirrors: [{ url: 'u', state: 'ok', lastPush: '2026-11-21T09:58:00.000Z', message: null }], archived: false },
        { name: 'lost', entries: 1, copies: 1, mirrors: [], archived: false },
      ],
      problems: [{ code: 'DISK_LOW', message: 'mini has 9 % of its disk free.', fix: 'free some' }, { code: 'MIRROR', message: 'The mirror at https://git.example.org/a/rather/long/path/memory.git is behind: the remote says that it is frozen.', fix: 'elder-node stack sync' }],
      ...over,
    }
  }

  test('the screen, at 80 columns', async () => {
    expect(renderStatus(await status(), bare, NOW).split('\n')).toEqual([
      'mesh bramble   3 of 4 devices online   here: laptop   v0.1.0',
      'DEVICE             RTT  PATH    CPU  MEM  DISK  SLOTS  DOING                SEEN',
      'laptop *             -  self    25%  50%   20%    1/2  1 for others          now',
      'mini            0.62ms  direct  25%  50%  91%!    1/2  build 7f3c 00:41  suspect',
      'a-device-with…   123ms  relay   25%  50%   20%    1/2  1 for others          now',
      'cabin                -  down      -    -     -      -  -                      3h',
      'builds   1 running, 0 queued',
      'memory   lost: 1 entry, 1 copy, no mirror',
      '         my-repo: 12 entries, 3 copies, mirrored 2 min ago',
      '! mini has 9 % of its disk free.   fix: free some',
      '! The mirror at https://git.example.org/a/rather/long/path/memory.git is behind:',
      '  the remote says that it is frozen.',
      '  fix: elder-node stack sync',
    ])
  })

  test('wider terminals show more, and every line fits', async () => {
    const wide = renderStatus(await status(), bare, NOW, { width: 120 }).split('\n')
    expect(wide[3]).toContain('build 7f3c 00:41')
    expect(wide[4]).toContain('a-device-with-a-name-that-is-l')
    expect(wide.every((line) => widthOf(line) <= 120)).toBe(true)
  })

  test('calls no remote mirrored that does not answer, and says what several share once', async () => {
    const at = '2026-11-21T09:58:00.000Z'
    const line = async (...mirrors: MirrorStatus[]): Promise<string | undefined> => renderStatus(await status({ stacks: [{ name: 'fmt', entries: 1, copies: 2, mirrors, archived: false }] }), bare, NOW, { width: 160 }).split('\n').find(text => text.includes('fmt'))
    const gone = { url: 'a', state: 'behind' as const, lastPush: null, message: 'not there' }
    expect(await line(gone, { ...gone, url: 'b' }, { url: 'c', state: 'ok', lastPush: at, message: null })).toMatch(/2 copies, mirror behind \(2 remotes\); mirrored 2 min ago$/)
    expect(await line({ ...gone, lastPush: at })).toMatch(/2 copies, mirror behind, pushed 2 min ago$/)
  })

  test('hostile names and texts keep to their line', async () => {
    const name = '構成\u001b[2J\u202E' + 'x'.repeat(300)
    const stacks = [{ name, entries: 1, copies: 1, mirrors: [{ url: 'u', state: 'failing' as const, lastPush: null, message: name }], archived: true }]
    const text = renderStatus(await status({ mesh: { id: 'm', name }, stacks, devices: [device({ id: 'x', name })], problems: [] }), bare, NOW)
    expect(text.includes('\u001b') || text.includes('\u202E')).toBe(false)
    expect(text.split('\n').every((line) => widthOf(line) <= 80)).toBe(true)
  })

  test('many stacks: the six that are worst off', async () => {
    const stacks = Array.from({ length: 20 }, (_, n) => ({ name: `s${n}`, entries: 1, copies: n, mirrors: [], archived: false }))
    const lines = renderStatus(await status({ stacks }), bare, NOW).split('\n')
    expect(lines.filter((line) => / s\d+:/.test(line))).toHaveLength(6)
    expect(lines).toContain('         and 14 more: elder-node stack list')
  })
})

test('entries: ids as long as it takes to tell them apart', () => {
  const entry = (id: string, title: string) => ({ id, kind: 'note', title, body: '', tags: [], author: { device: SELF.id, agent: 'juno' }, createdAt: '', updatedAt: new Date(NOW - 60_000).toISOString(), supersedes: null, removed: false, rivals: {}, extra: {} })
  const entries = [entry('01K9AAAAAAAAAAAAAAAAAAAAAA', '構成メモ '.repeat(20)), entry('01K9AAAAAAAAAAABAAAAAAAAAA', 'two')] as unknown as Parameters<typeof renderEntries>[0]
  const lines = renderEntries(entries, new Map([[SELF.id, 'laptop']]), { paint: bare, nowMs: NOW, width: 80 }).split('\n')
  expect(lines[1]).toMatch(/^01K9AAAAAAAAAAAA {2}note {2}構成メモ 構成メモ .*… {1,3}juno@laptop {6}60s$/)
  expect(lines.every((line) => widthOf(line) <= 80)).toBe(true)
})

describe('painting over', () => {
  function screen (columns: number, rows: number): { screen: PassThrough & { columns: number, rows: number }, writes: string[] } {
    const writes: string[] = []
    const stream = Object.assign(new PassThrough(), { columns, rows })
    stream.on('data', (chunk: Buffer) => writes.push(chunk.toString()))
    return { screen: stream, writes }
  }

  test('goes up as many rows as it painted, wrapped ones counted, and gives the cursor back', async () => {
    const { screen: out, writes } = screen(10, 24)
    const repaint = new Repaint(out)
    repaint.frame('one\n0123456789abc')
    repaint.frame('two')
    out.columns = 5
    repaint.frame('three')
    repaint.end()
    await eventually(() => { expect(writes.join('')).toBe('\u001b[?25lone\n0123456789abc\n\r\u001b[3A\u001b[Jtwo\n\r\u001b[1A\u001b[Jthree\n\u001b[?25h') })
  })

  test('what does not fit is said, and nothing scrolls', async () => {
    const { screen: out, writes } = screen(80, 5)
    new Repaint(out).frame(Array.from({ length: 9 }, (_, n) => `line ${n}`).join('\n'))
    await eventually(() => { expect(writes.join('').split('\n')).toEqual(['\u001b[?25lline 0', 'line 1', 'line 2', '… 6 more lines: a higher window shows them', '']) })
  })
})

describe.concurrent('status --watch', () => {
  test('on a terminal: paints over until Ctrl-C, exit 0, the cursor is back', async () => {
    await using desk = await Desk.open()
    const { code, stdout } = await desk.run(['status', '--watch'], {
      tty: { columns: 80, rows: 24 },
      onStart: (interrupt, out) => { void eventually(() => { expect(out.stdout().split('\u001b[J').length).toBeGreaterThan(2) }).then(() => { interrupt() }) },
    })
    expect(code).toBe(0)
    expect(stdout.startsWith('\u001b[?25l')).toBe(true)
    expect(stdout.endsWith('\u001b[?25h')).toBe(true)
  })

  test('with --json: one document after the other; with --check the last one counts', async () => {
    await using desk = await Desk.open()
    const { code, json } = await desk.run(['status', '--watch', '--check', '--json'], {
      onStart: (interrupt, out) => {
        void eventually(() => { expect(out.stdout().split('\n').length).toBeGreaterThan(1) }).then(() => { desk.node.problems = [{ code: 'X', message: 'x', fix: '' }] })
          .then(() => eventually(() => { expect(out.stdout()).toContain('"X"') })).then(() => { interrupt() })
      },
    })
    expect(code).toBe(5)
    expect(json().length).toBeGreaterThanOrEqual(2)
    expect(json().every(({ schema }) => schema === 'elder/status.v1')).toBe(true)
  })

  test('piped: plain documents, no control characters; -q shows problems alone', async () => {
    await using desk = await Desk.open()
    desk.node.problems = [{ code: 'X', message: 'something', fix: 'this' }]
    const { stdout } = await desk.run(['status', '--watch', '-q'], { onStart: (interrupt, out) => { void eventually(() => { expect(out.stdout().split('something').length).toBeGreaterThan(2) }).then(() => { interrupt() }) } })
    expect(stdout).toMatch(/^(?:! something {3}fix: this\n\n){2,}$/)
  })
})

test('colour: FORCE_COLOR, NO_COLOR, --no-color, TERM=dumb', async () => {
  await using desk = await Desk.open()
  const colours = async (argv: string[], env: NodeJS.ProcessEnv, tty?: { columns: number, rows: number }): Promise<boolean> => (await desk.run(['status', ...argv], { env, ...(tty === undefined ? {} : { tty }) })).stdout.includes('\u001b[')
  const tty = { columns: 80, rows: 24 }
  expect(await Promise.all([
    colours([], {}), colours([], {}, tty), colours([], { NO_COLOR: '1' }, tty), colours(['--no-color'], {}, tty), colours([], { TERM: 'dumb' }, tty), colours([], { FORCE_COLOR: '1' }), colours([], { FORCE_COLOR: '0' }, tty),
  ])).toEqual([false, true, false, false, false, true, false])
})

describe('what takes long', () => {
  function lines (tty: boolean): { screen: Screen, text: () => string } {
    let all = ''
    const screen = Object.assign(new PassThrough(), { isTTY: tty, columns: 30 })
    screen.write = (chunk: unknown) => { all += String(chunk); return true }
    return { screen, text: () => all }
  }

  test('says nothing for a second; then one line that is painted over and goes, or one that stays', () => {
    vi.useFakeTimers()
    try {
      const [terminal, pipe] = [lines(true), lines(false)]
      const ends = [terminal, pipe].map(({ screen }) => new Output({ stdout: screen, stderr: screen, env: {} } as unknown as Io, { json: false, color: false, quiet: false, verbose: false }).progress('verifying 構成 with the other devices'))
      vi.advanceTimersByTime(900)
      expect([terminal.text(), pipe.text()]).toEqual(['', ''])
      vi.advanceTimersByTime(1200)
      for (const end of ends) end()
      vi.advanceTimersByTime(5000)
      expect(terminal.text()).toBe(`${'\r\u001b[Kverifying 構成 with the othe…'.repeat(2)}\r\u001b[K`)
      expect(pipe.text()).toBe('verifying 構成 with the other devices …\n')
    } finally {
      vi.useRealTimers()
    }
  })
})

test('-q leaves ids alone, -v says how long it took', async () => {
  await using desk = await Desk.open()
  expect((await desk.run(['devices', '-q'])).stdout).toBe(`${SELF.id}\n${MINI.id}\n`)
  expect((await desk.run(['builds', '-q'])).stdout).toBe('buildid123456\n')
  expect((await desk.run(['stack', 'add', 's', '--kind', 'note', '--title', 't', '-q'])).stderr).toBe('')
  expect((await desk.run(['stack', 'list', '-q'])).stdout).toBe('s\n')
  const { stderr, stdout } = await desk.run(['status', '-v'])
  expect(stderr).toMatch(/^status: \d+ ms, data directory \S+\n$/)
  expect(stdout).toContain('pid 1   engine process: no isolation')
})
