/**
 * Files that this process was started with besides the three of every program, as by `exec 200>lock` in a script. Each program that it
 * starts would have them too, builds included. Linux: elsewhere a program starts without them.
 */
import { spawn } from 'node:child_process'
import { closeSync, fstatSync, readdirSync, readFileSync } from 'node:fs'
import { findTool } from './system-tools.ts'

const CLOSES_ON_EXEC = 0o2000000

/** Which file each number is: device and inode. */
type OpenFiles = ReadonlyMap<number, string>

/** The open files that programs started by this process would have. Node's own, and those up to 15, close by themselves. */
export function inheritedFiles (): OpenFiles {
  return new Map(numbersIn('/proc/self/fd').filter(fd => fd > 2 && !closesOnExec(fd)).flatMap(fd => {
    const file = fileOf(fd)
    return file === undefined ? [] : [[fd, file] as const]
  }))
}

/** What a library opens for a moment is not among them a second time. */
const atStart = inheritedFiles()

function numbersIn (dir: string): number[] {
  try {
    return readdirSync(dir).map(Number)
  } catch {
    return []
  }
}

/** One that is gone meanwhile was the listing itself. */
function closesOnExec (fd: number): boolean {
  try {
    const flags = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? ''
    return (Number.parseInt(flags, 8) & CLOSES_ON_EXEC) !== 0
  } catch {
    return true
  }
}

function fileOf (fd: number): string | undefined {
  try {
    const { dev, ino } = fstatSync(fd)
    return `${dev}:${ino}`
  } catch {
    return undefined
  }
}

/**
 * Gives them to one program that does nothing and ends with this process: what a script has locked stays locked. To be called before any
 * other program is started. Only files that were there when this module was loaded and still are: a number that was closed and given
 * again meanwhile is somebody else's.
 */
export function handOverInherited (): void {
  const files = [...inheritedFiles()].filter(([fd, file]) => atStart.get(fd) === file).map(([fd]) => fd)
  if (files.length === 0) return
  const holder = spawn(findTool('sh') ?? '/bin/sh', ['-c', 'read -r end'], { cwd: '/', env: {}, stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  holder.on('error', () => undefined)
  holder.stdin.on('error', () => undefined)
  holder.unref()
  // It has them when spawn returns.
  for (const fd of files) closeSync(fd)
}
