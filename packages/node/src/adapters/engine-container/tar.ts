/** A tar of a few small files: the context of an image build. POSIX ustar. */

const BLOCK = 512

export function tarOf (files: Record<string, Uint8Array>): Uint8Array {
  const parts = Object.entries(files).flatMap(([name, content]) => [header(name, content.length), content, new Uint8Array((BLOCK - content.length % BLOCK) % BLOCK)])
  return Buffer.concat([...parts, new Uint8Array(2 * BLOCK)])
}

function header (name: string, bytes: number): Uint8Array {
  if (Buffer.byteLength(name) > 100) throw new RangeError('names of at most 100 bytes')
  const block = Buffer.alloc(BLOCK)
  const octal = (value: number, length: number): string => value.toString(8).padStart(length - 1, '0')
  block.write(name, 0)
  block.write(octal(0o644, 8), 100)
  block.write(octal(0, 8), 108)
  block.write(octal(0, 8), 116)
  block.write(octal(bytes, 12), 124)
  block.write(octal(0, 12), 136)
  block.write('        ', 148)
  block.write('0', 156)
  block.write('ustar\x0000', 257)
  block.write(`${octal(block.reduce((sum, byte) => sum + byte, 0), 7)}\0 `, 148)
  return block
}
