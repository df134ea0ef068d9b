/** The reader of pages: what it must notice. */
import { expect, test } from 'vitest'
import { missing } from './support/likeness.ts'
import { parsePage } from './support/page.ts'
import { unknownWords } from './support/parse.ts'
import { BIN } from './support/sandbox.ts'

const page = (...lines: string[]): string => lines.join('\n')

test('a page is commands on devices, with what they show', () => {
  const { given, blocks } = parsePage(page('<!-- given: laptop, mini (2 slots) and pi (1 slot) -->', '```console', 'laptop$ a \\', '  b', 'shown', 'mini$ c', '```', '<!-- on: pi -->', '```sh', '# said', 'd   # why', '```'))
  expect(given).toEqual([{ name: 'laptop', slots: 0 }, { name: 'mini', slots: 2 }, { name: 'pi', slots: 1 }])
  expect(blocks.map(({ typed }) => typed.map(({ device, line, shown }) => [device, line, shown]))).toEqual([[['laptop', 'a b', ['shown']], ['mini', 'c', []]], [['pi', 'd   # why', []]]])
})

test('nothing is skipped in silence: a mark without a block, a mark misspelt, a block without an end', () => {
  expect(() => parsePage(page('<!-- not run: why -->', 'text'))).toThrow(/a block must follow/)
  expect(() => parsePage(page('<!-- do not run: why -->'))).toThrow(/no mark that the test knows/)
  expect(() => parsePage(page('```sh', 'a'))).toThrow(/without an end/)
  expect(() => parsePage(page('```console', 'no prompt', '```'))).toThrow(/begins with a device/)
})

test.for([
  ['ok  build 4kcmh3js exit 0 on mini, attempt 2', 'ok  build abcdefgh exit 0 on pi, attempt 2', true],
  ['ok  build 4kcmh3js exit 0 on mini', 'ok  build abcdefgh exit 1 on mini', false],
  ['3 of 3 devices online', '2 of 3 devices online', false],
  ['source 44 ms, run 4.2 s', 'source 1.2 s, run 900 ms', true],
  ['elected  mini (1.6 ms, … build', 'elected  mini (12 ms, predicted 3 s)   build', true],
  ['kill 8926', 'kill 12', true],
  ['joined mesh home as mini', 'back in mesh home as mini', false],
] as const)('"%s" shown for "%s": %s', ([shown, real, like]) => { expect(missing([shown], real, ['laptop', 'mini', 'pi']) === undefined).toBe(like) })

test('commands and flags that do not exist are found, in pipes and behind npx too', () => {
  expect(unknownWords(BIN, "elder-node stack add x --kind note && sudo npx -y elder-node@latest service install --system | elder-node --dir d status -q; elder-node build . -- make --nonsense")).toEqual([])
  expect(unknownWords(BIN, 'elder-node stac add')).toHaveLength(1)
  expect(unknownWords(BIN, 'true | elder-node stack nonsense')).toHaveLength(1)
  expect(unknownWords(BIN, 'npx elder-node build . --sealled -- make')).toHaveLength(1)
})
