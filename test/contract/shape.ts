/** The shape of JSON documents, as text that a person can read and a diff can show. */

type Shape =
  | { kind: 'leaf', types: Set<string> }
  | { kind: 'list', types: Set<string>, item: Shape | undefined }
  | { kind: 'object', types: Set<string>, seen: number, fields: Map<string, { shape: Shape, seen: number }> }

/** Fields that say what a document is: their values are part of its shape. */
const NAMES = new Set(['schema', 'event'])

/** One shape that covers all the documents: `a?` is missing in some, `string | null` is both. */
export function shapeOf (documents: unknown[]): string {
  const shape = documents.map(read).reduce(merge)
  return print(shape, '')
}

function read (value: unknown): Shape {
  if (Array.isArray(value)) return { kind: 'list', types: new Set(), item: value.length === 0 ? undefined : value.map(read).reduce(merge) }
  if (typeof value !== 'object' || value === null) return leaf(value === null ? 'null' : typeof value)
  return { kind: 'object', types: new Set(), seen: 1, fields: new Map(Object.entries(value).map(([key, item]) => [key, { shape: NAMES.has(key) && typeof item === 'string' ? leaf(JSON.stringify(item)) : read(item), seen: 1 }])) }
}

function leaf (type: string): Shape { return { kind: 'leaf', types: new Set([type]) } }

function merge (a: Shape, b: Shape): Shape {
  const types = new Set([...a.types, ...b.types])
  if (a.kind === 'leaf') return b.kind === 'leaf' ? { kind: 'leaf', types } : { ...b, types }
  if (b.kind === 'leaf') return { ...a, types }
  if (a.kind === 'list' && b.kind === 'list') return { kind: 'list', types, item: a.item === undefined ? b.item : b.item === undefined ? a.item : merge(a.item, b.item) }
  if (a.kind !== 'object' || b.kind !== 'object') throw new Error('a list here and an object there')
  const fields = new Map(a.fields)
  for (const [key, { shape, seen }] of b.fields) {
    const known = fields.get(key)
    fields.set(key, known === undefined ? { shape, seen } : { shape: merge(known.shape, shape), seen: known.seen + seen })
  }
  return { kind: 'object', types, seen: a.seen + b.seen, fields }
}

function print (shape: Shape, indent: string): string {
  const types = [...shape.types].sort()
  if (shape.kind === 'leaf') return types.join(' | ')
  const rest = types.map(type => ` | ${type}`).join('')
  if (shape.kind === 'list') return `[${shape.item === undefined ? '' : ` ${print(shape.item, indent)} `}]${rest}`
  const lines = [...shape.fields].sort(([a], [b]) => a < b ? -1 : 1).map(([key, field]) => `${indent}  ${key}${field.seen < shape.seen ? '?' : ''}: ${print(field.shape, `${indent}  `)}`)
  return lines.length === 0 ? `{}${rest}` : `{\n${lines.join('\n')}\n${indent}}${rest}`
}
