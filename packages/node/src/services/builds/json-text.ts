/**
 * JSON as people write it by hand: errors and values know their line; comments and trailing commas where a file may have them
 * (RFC 8259, and the "JSON with comments" of devcontainer.json). Bounded in depth; an object has no prototype. Pure.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

export interface JsonText {
  value: Json
  /** The line of a value, from 1; of the nearest one around it when the path leads nowhere. */
  lineOf: (path: Array<string | number>) => number
}

/** What is wrong, and in which line, from 1. */
export class JsonTextError extends Error {
  readonly line: number

  constructor (line: number, message: string) {
    super(message)
    this.line = line
  }
}

const DEPTH_MAX = 64
const LITERALS: ReadonlyArray<readonly [string, Json]> = [['true', true], ['false', false], ['null', null]]

/** Where a value stands. A tree as the values are: names for whole paths would let a long key be kept once for each value below it. */
interface Place { line: number, below?: Map<string | number, Place> }

/** @throws JsonTextError */
export function parseJsonText (text: string, { comments = false }: { comments?: boolean } = {}): JsonText {
  const reader = new Reader(text.replace(/^\u{feff}/u, ''), comments)
  const value = reader.document()
  return {
    value,
    lineOf: path => {
      let line = 1
      for (let i = 0, place = reader.place.below?.get(path[0] ?? ''); place !== undefined; place = place.below?.get(path[++i] ?? '')) line = place.line
      return line
    },
  }
}

class Reader {
  /** Of the value that is read; of the whole text in the end. */
  place: Place = { line: 1 }
  readonly #text: string
  readonly #comments: boolean
  #depth = 0
  #at = 0
  #line = 1

  constructor (text: string, comments: boolean) {
    this.#text = text
    this.#comments = comments
  }

  document (): Json {
    const value = this.#value()
    this.#space()
    return this.#at < this.#text.length ? this.#fail(`unexpected ${this.#shown()} after the end`) : value
  }

  #value (): Json {
    this.#space()
    this.place.line = this.#line
    if (this.#depth > DEPTH_MAX) this.#fail('too deep')
    const next = this.#text[this.#at]
    if (next === '{') return this.#object()
    if (next === '[') return this.#array()
    return next === '"' ? this.#string() : this.#scalar()
  }

  #object (): Json {
    const object = Object.create(null) as { [key: string]: Json }
    this.#list('}', () => {
      if (this.#text[this.#at] !== '"') this.#fail(`expected a name in double quotes, found ${this.#shown()}`)
      const key = this.#string()
      if (key in object) this.#fail(`"${key.slice(0, 64)}" stands there twice`)
      this.#expect(':')
      object[key] = this.#below(key)
    })
    return object
  }

  #array (): Json {
    const array: Json[] = []
    this.#list(']', () => { array.push(this.#below(array.length)) })
    return array
  }

  #below (key: string | number): Json {
    const outer = this.place
    this.place = { line: this.#line }
    outer.below ??= new Map()
    outer.below.set(key, this.place)
    this.#depth++
    const value = this.#value()
    this.#depth--
    this.place = outer
    return value
  }

  #list (end: string, item: () => void): void {
    this.#at++
    for (let first = true; ; first = false) {
      this.#space()
      if (this.#text[this.#at] === end && first) break
      if (!first) {
        if (this.#text[this.#at] === end) break
        this.#expect(',')
        this.#space()
        if (this.#comments && this.#text[this.#at] === end) break
      }
      item()
    }
    this.#at++
  }

  #string (): string {
    const found = /"(?:[^"\\\r\n]|\\.)*"/y
    found.lastIndex = this.#at
    const match = found.exec(this.#text)
    if (match === null) return this.#fail('a text does not end in its line')
    try {
      const value = JSON.parse(match[0]) as string
      this.#at = found.lastIndex
      return value
    } catch {
      return this.#fail('a text has an escape or a control character that JSON does not know')
    }
  }

  #scalar (): Json {
    const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
    number.lastIndex = this.#at
    const match = number.exec(this.#text)
    if (match !== null) {
      this.#at = number.lastIndex
      return Number(match[0])
    }
    const literal = LITERALS.find(([word]) => this.#text.startsWith(word, this.#at))
    if (literal === undefined) return this.#fail(`expected a value, found ${this.#shown()}`)
    this.#at += literal[0].length
    return literal[1]
  }

  #expect (sign: string): void {
    this.#space()
    if (this.#text[this.#at] !== sign) this.#fail(`expected "${sign}", found ${this.#shown()}`)
    this.#at++
  }

  /** White space, and comments where they are allowed. */
  #space (): void {
    const space = this.#comments ? /(?:[ \t\r\n]+|\/\/[^\n]*|\/\*[^]*?\*\/)*/y : /[ \t\r\n]*/y
    space.lastIndex = this.#at
    const [skipped] = space.exec(this.#text) ?? ['']
    this.#line += skipped.split('\n').length - 1
    this.#at += skipped.length
  }

  #shown (): string { return this.#at < this.#text.length ? JSON.stringify(this.#text.slice(this.#at, this.#at + 12)) : 'the end' }

  #fail (message: string): never { throw new JsonTextError(this.#line, message) }
}
