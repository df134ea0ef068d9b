import { Command } from 'commander'
import { expect, test } from 'vitest'
import { failureOf, givenWords } from '../../src/gateway/cli/detach.ts'
import { addGlobals } from '../../src/gateway/cli/globals.ts'

function given (argv: string[]): string[] {
  const program = addGlobals(new Command('elder-node'), { hidden: false }).exitOverride().enablePositionalOptions()
  let words: string[] = []
  const command = addGlobals(program.command('join'), { hidden: true })
    .option('--name <name>').option('--listen <multiaddr>', '', (value: string, all: string[] = []) => [...all, value]).option('--slots <n>').option('--no-mdns').option('--detach')
    .action(() => { words = givenWords(command, new Set(['detach', 'json', 'dir'])) })
  program.parse(argv, { from: 'user' })
  return words
}

test.each([
  [['join', '--detach'], []],
  [['--json', '--dir', '/x', 'join', '--detach', '--name', 'a b', '--no-mdns'], ['--name', 'a b', '--no-mdns']],
  [['--timeout', '5s', 'join', '--listen', '/a', '--listen', '/b', '-v'], ['--verbose', '--listen', '/a', '--listen', '/b', '--timeout', '5s']],
  [['join', '--slots', '0', '--detach'], ['--slots', '0']],
])('the flags of %j become words again, and what was not said stays unsaid', (argv, words) => {
  expect(given(argv)).toEqual(words)
})

test('the last error document of the output is what it failed with, else its last words', () => {
  const document = (code: string): string => JSON.stringify({ schema: 'elder/error.v1', error: { code, message: 'm', fix: 'f' } })
  expect(failureOf(`${document('FIRST')}\nnoise\n${document('LAST')}\nbye\n`, 1, '/d/detached.log')).toMatchObject({ code: 'LAST', message: 'm', fix: 'f' })
  expect(failureOf('{"schema":"elder/error.v1","error"\nout of memory', 'SIGKILL', '/d/detached.log')).toMatchObject({ code: 'DETACH_FAILED', message: expect.stringMatching(/SIGKILL.*[^]*out of memory/), fix: expect.stringContaining('--dir /d') })
})
