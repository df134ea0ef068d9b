/** The recording on the README's first screen shows commands that exist, and the ones of the script that made it. */
import { readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { castOf } from '../../docs/recording/cast.ts'
import { COLUMNS, Camera } from '../../docs/recording/film.ts'
import { pictureOf } from '../../docs/recording/picture.ts'
import { STORY } from '../../docs/recording/story.ts'
import { unknownWords } from './support/parse.ts'
import { BIN } from './support/sandbox.ts'

const file = (name: string): string => fileURLToPath(new URL(`../../docs/recording/${name}`, import.meta.url))
const events = readFileSync(file('elder-node.cast'), 'utf8').trim().split('\n').slice(1).map((line) => JSON.parse(line) as [number, string, string])
const typed = STORY.map(({ pane, command }) => `${pane}$ ${command}`)

test('its commands exist', () => { expect(STORY.flatMap(({ command }) => unknownWords(BIN, command))).toEqual([]) })

test('what is committed shows the commands of the script: else run docs/recording/record.ts again', () => {
  expect(events.filter(([, kind]) => kind === 'm').map(([, , text]) => text)).toEqual(typed)
  const picture = readFileSync(file('elder-node.svg'), 'utf8')
  for (const { command } of STORY) expect(picture).toContain(`>${command.replaceAll('&', '&amp;').replaceAll('>', '&gt;')}</text>`)
})

test('it is short, small and fits 80 columns', () => {
  expect(events.at(-1)?.[0]).toBeLessThanOrEqual(40)
  expect(statSync(file('elder-node.svg')).size + statSync(file('elder-node.cast')).size).toBeLessThan(300_000)
  for (const line of typed) expect(line.length).toBeLessThanOrEqual(COLUMNS)
})

test('it shows what it is about: a build that moves, a note read elsewhere, proof on every device', () => {
  const picture = readFileSync(file('elder-node.svg'), 'utf8')
  for (const seen of ['3 of 3 devices online', 'moved    mini is lost', 'exit 0 on pi, attempt 2', 'note  mini fell over', 'same         mini']) expect(picture).toContain(seen)
})

test('a film says the same on a terminal and as a picture; text of a command cannot become markup', () => {
  const camera = new Camera()
  camera.type('laptop', 'echo "<b>&" && true')
  camera.print('laptop', `<b>&\n${'x'.repeat(COLUMNS + 1)}`)
  expect(camera.film.panes[0]?.lines.map(({ text }) => text)).toEqual(['laptop$ echo "<b>&" && true', '<b>&', 'x'.repeat(COLUMNS), 'x'])
  expect(castOf(camera.film)).toContain('<b>&')
  expect(pictureOf(camera.film)).toContain('&lt;b&gt;&amp;</text>')
  expect(pictureOf(camera.film)).not.toContain('<b>')
})
