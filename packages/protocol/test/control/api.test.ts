import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CONTROL_SCHEMA, ElderError, parseControlRequest } from '../../src/index.ts'

const METHODS = ['status', 'invite', 'evict', 'build', 'builds.events', 'stack.add', 'stack.edit', 'stack.show', 'stack.remote.add', 'stack.sync', 'constructor', '__proto__']

test('whatever arrives is parsed or refused with a code, never anything else', () => {
  fc.assert(fc.property(fc.constantFrom(...METHODS), fc.jsonValue(), (method, params) => {
    try {
      expect(parseControlRequest({ schema: CONTROL_SCHEMA, method, params }).method).toBe(method)
    } catch (error) {
      expect(error).toBeInstanceOf(ElderError)
      expect((error as ElderError).fix).not.toBe('')
    }
  }))
})

test.each([
  ['build', { source: '/tree', command: ['npm', 'test'], outputs: ['dist/**'], env: { A: '' }, memoryBytes: 5, local: 'auto', dryRun: true }],
  ['stack.edit', { stack: 'my-repo', id: '01K9', patch: { supersedes: null } }],
  ['stack.show', { stack: 'my-repo@bramble' }],
  ['stack.remote.add', { stack: '--all', url: 'git@example.org:me/memory.git' }],
])('%s comes through as it was sent', (method, params) => {
  expect(parseControlRequest({ schema: CONTROL_SCHEMA, method, params })).toEqual({ method, params })
})

test.each([
  ['build', { source: '/', command: [] }, 'command'],
  ['build', { source: '/', command: ['a'], env: { 'A=B': 'c' } }, 'env'],
  ['build', { source: '/', command: ['a'], memoryBytes: -1 }, 'memoryBytes'],
  ['build', { source: '/', command: Array(257).fill('a') }, 'command'],
  ['stack.add', { stack: 'No', entry: { kind: 'note', title: 't' } }, 'stack'],
  ['stack.add', { stack: 's', entry: { kind: 'note', title: 't', body: 'x'.repeat(262_145) } }, 'entry.body'],
])('%s refuses what breaks a bound and names the parameter', (method, params, parameter) => {
  expect(() => parseControlRequest({ schema: CONTROL_SCHEMA, method, params })).toThrowError(expect.objectContaining({ code: 'BAD_REQUEST', message: expect.stringContaining(`${method}: ${parameter}`) }))
})

test('another version of the protocol is told apart', () => {
  expect(() => parseControlRequest({ schema: 'elder/control.v2', method: 'status', params: {} })).toThrowError(expect.objectContaining({ code: 'CONTROL_VERSION' }))
  expect(() => parseControlRequest(null)).toThrowError(expect.objectContaining({ code: 'CONTROL_VERSION' }))
})
