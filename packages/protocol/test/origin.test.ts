import { describe, expect, test } from 'vitest'
import { originOf, stackNamesOf, STACK_NAME } from '../src/index.ts'

describe('the origin of a stack', () => {
  test.each([
    'https://git.example.org/me/api.git', 'https://git.example.org/me/api/', 'https://user:token@git.example.org:443/Me/API.git', 'git@git.example.org:me/api.git',
    'ssh://git@git.example.org:2222/me/api', 'git://git.example.org//me/api.git', ' GIT.example.org:me/api ', 'https://git.example.org/me/api.git?x=1#y',
  ])('%s is one and the same repository', url => { expect(originOf(url)).toBe('git.example.org/me/api') })

  test.each([
    ['http://127.0.0.1:3000/me/api.git', '127.0.0.1:3000/me/api'], ['/srv/git/api.git/', '/srv/git/api'], ['file:///srv/git/api.git', '/srv/git/api'],
    ['git@host:group/sub/api', 'host/group/sub/api'], ['git@host:me/My Repo.git', 'host/me/my%20repo'], ['https://host/me/My%20Repo', 'host/me/my%20repo'], ['C:\\code\\api', '/c/code/api'],
  ])('%s is %s', (url, origin) => { expect(originOf(url)).toBe(origin) })

  test.each(['', 'api', '../api.git', 'https://host', 'https://host/', 'git@host:', `https://host/${'a'.repeat(500)}`, 'host:a\u001b[2Jb', 'host:a\tb'])(
    '%j is no address', url => { expect(originOf(url)).toBeUndefined() })

  test('no credential stays in it', () => { expect(originOf('https://me:s3cret@host/me/api')).not.toContain('s3cret') })

  test('a written origin is its own origin', () => {
    for (const url of ['git@host:me/api.git', 'https://host:8443/me/api']) expect(originOf(`https://${originOf(url)}`)).toBe(originOf(url))
  })
})

describe('names of a stack', () => {
  test('the last name first, then with its owner, then with all before it', () => {
    expect(stackNamesOf('git.example.org/two/api')).toEqual(['api', 'two-api', 'git.example.org-two-api'])
    expect(stackNamesOf('host/my%20group/my%20repo!'))
      .toEqual(['my-repo-', 'my-group-my-repo-', 'host-my-group-my-repo-'])
  })
  test('each of them is the name of a stack', () => {
    for (const origin of ['host/…/.dotfiles', `host/${'o'.repeat(80)}/${'n'.repeat(80)}`, '/srv/_git/_api', 'host/日本/語']) {
      for (const name of stackNamesOf(origin)) expect(name).toMatch(STACK_NAME)
    }
  })
})
