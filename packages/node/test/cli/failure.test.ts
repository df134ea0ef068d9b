import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { ElderError } from '@elder-node/protocol'
import { printFailure } from '../../src/gateway/cli/failure.ts'
import type { Io } from '../../src/gateway/cli/io.ts'
import { Output } from '../../src/gateway/cli/output.ts'

test('an error that quotes another device moves no cursor, with -v neither', () => {
  const stream = new PassThrough()
  const io = { stdout: stream, stderr: stream, env: { NO_COLOR: '1' } } as unknown as Io
  printFailure(new Output(io, { json: false, quiet: false, verbose: true, color: false }), new ElderError('PEER', 'it said \u001b]52;c;eA==\u0007\u001b[2J', 'look \u001b[1A'))
  const text = String(stream.read())
  expect(text).toContain('error: it said ·]52;c;eA==··[2J')
  expect(text).toMatch(/\n {4}at /)
  // oxlint-disable-next-line no-control-regex
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
})
