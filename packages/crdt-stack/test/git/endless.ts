/** A git host that never comes to an end. */
import { randomBytes } from 'node:crypto'
import { createServer, type Server, type ServerResponse } from 'node:http'

/** A host whose list of branches has no end. */
export function endlessList (): { http: Server, sent: () => number } {
  let sent = 0
  const line = (n: number): string => `${'12'.repeat(20)} refs/heads/${String(n).padStart(200, '0')}\n`
  const lines = Buffer.from(Array.from({ length: 4096 }, (_, n) => packet(line(n))).join(''))
  const pour = (response: ServerResponse): void => {
    while (!response.destroyed && response.write(lines)) sent += lines.length
    sent += lines.length
    response.once('drain', () => { pour(response) })
  }
  const http = createServer((_request, response) => {
    response.setHeader('content-type', 'application/x-git-upload-pack-advertisement')
    response.write(`${packet('# service=git-upload-pack\n')}0000${packet(`${'12'.repeat(20)} refs/heads/a\0side-band-64k\n`)}`)
    pour(response)
  })
  return { http, sent: () => sent }
}

function packet (text: string): string { return (text.length + 4).toString(16).padStart(4, '0') + text }

/**
 * A host that answers as git does, with one branch, and then sends a pack without end. `asked`: when a pack was asked for, by
 * `performance.now()`. With `dumb`, it knows only the protocol of plain files, and the first of them has no end. It breaks off after
 * `bytesMax` bytes.
 */
export function endless ({ dumb = false, bytesMax = Infinity } = {}): { http: Server, sent: () => number, asked: () => number[] } {
  let sent = 0
  const asked: number[] = []
  const http = createServer((request, response) => {
    if (dumb) {
      if (request.url?.includes('/info/refs') === true) return void response.end(`${'12'.repeat(20)}\trefs/heads/elder/memory\n`)
      if (request.url?.endsWith('/HEAD') === true) return void response.end('ref: refs/heads/elder/memory\n')
      if (request.url?.includes('/objects/12/') !== true) return void response.writeHead(404).end()
      asked.push(performance.now())
      return void pour(response, blob => blob)
    }
    response.setHeader('content-type', request.method === 'GET' ? 'application/x-git-upload-pack-advertisement' : 'application/x-git-upload-pack-result')
    if (request.method === 'GET') return void response.end(`${packet('# service=git-upload-pack\n')}0000${packet(`${'12'.repeat(20)} refs/heads/elder/memory\0side-band-64k\n`)}0000`)
    asked.push(performance.now())
    response.write(packet('NAK\n'))
    // The header of a pack of a million objects.
    const band = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from((bytes.length + 5).toString(16).padStart(4, '0')), Buffer.from([1]), bytes])
    response.write(band(Buffer.concat([Buffer.from('PACK'), Buffer.from([0, 0, 0, 2, 0, 0x0f, 0x42, 0x40])])))
    pour(response, band)
  })
  /** 50 MB a second at most: who measures has a turn, too, on a machine that is busy. */
  const pour = (response: ServerResponse, packed: (blob: Buffer) => Buffer): void => {
    for (const blob of BLOBS) {
      sent += blob.length
      if (!response.destroyed) response.write(packed(blob))
    }
    if (sent > bytesMax) response.destroy()
    if (!response.destroyed) setTimeout(pour, 5, response, packed)
  }
  return { http, sent: () => sent, asked: () => asked }
}

const BYTES = 32_768
/** Objects of a pack, of random bytes that zlib stores as they are: 0x01, length, its complement, bytes, checksum. */
const BLOBS = Array.from({ length: 8 }, () => {
  const body = randomBytes(BYTES)
  const size = Buffer.from([0x80 | (3 << 4) | (BYTES & 15), 0x80 | ((BYTES >> 4) & 127), (BYTES >> 11) & 127])
  return Buffer.concat([size, Buffer.from([0x78, 0x01, 0x01, BYTES & 255, BYTES >> 8, ~BYTES & 255, (~BYTES >> 8) & 255]), body, adler(body)])
})

function adler (bytes: Buffer): Buffer {
  let [a, b] = [1, 0]
  for (const byte of bytes) {
    a = (a + byte) % 65_521
    b = (b + a) % 65_521
  }
  return Buffer.from([b >> 8, b & 255, a >> 8, a & 255])
}
