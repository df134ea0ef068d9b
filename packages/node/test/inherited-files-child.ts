/** Prints which files a program that it starts has, before and after the inherited ones are handed over; ends when its input does. */
import { execFileSync } from 'node:child_process'
import { handOverInherited } from '../src/adapters/inherited-files.ts'

const others = (): string => execFileSync('sh', ['-c', 'for f in /proc/self/fd/*; do readlink "$f"; done; true'], { encoding: 'utf8' }).split('\n').filter(path => path.endsWith('/lock')).length.toString()
const before = others()
handOverInherited()
console.log(`${before} ${others()}`)
process.stdin.resume()
