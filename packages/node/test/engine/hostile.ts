/**
 * Builds that mean harm, on every engine. In each: a neighbour's build on the same engine ends with 0, nothing of the hostile
 * one is left, and the limit that ended it is named. What an engine cannot withstand it says, with the reason.
 */
import { arch } from 'node:os'
import { chown, lstat, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FileOutputReader } from '../../src/adapters/output-reader.ts'
import type { Engine, RunSpec } from '../../src/ports/engine.ts'
import { collect, newId, specOf, until, type Outcome } from './acceptance.ts'

const MB = 1_048_576
const LIMITS = { cpus: 2, memoryBytes: 96 * MB, pidsMax: 64, diskBytes: 32 * MB }
const PATH = '/usr/local/bin:/usr/bin:/bin'

export interface HostileOptions {
  make: () => Promise<Engine>
  close?: (engine: Engine) => Promise<void>
  survivors: (marker: string) => Promise<number[]>
  /** True, or why this engine does not end the build with that reason. */
  limits: Record<'memory' | 'pids' | 'disk', true | string>
  /** The probes of {@link ESCAPES} that this engine lets through, with the reason. */
  lets?: Partial<Record<keyof typeof ESCAPES, string>>
  /** The uid of the node that owns the engine, when it is not this process's. */
  nodeUid?: number
  /** A file that only the owner of the node can read; holds {@link SECRET}. */
  keyFile: string
  /** Where a build finds its tree. @default at the tree's own path */
  inside?: (tree: string) => string
  /** Why the memory of the engine's own process cannot be seen from the test, when it cannot. */
  remote?: string
  /** `part`: what `npm test` has time for. */
  extent: 'part' | 'all'
}

export const SECRET = 'elder-secret-of-the-owner'
const [ADD_KEY, BPF, PTRACE, UNSHARE] = arch() === 'arm64' ? [217, 280, 117, 97] : [248, 321, 101, 272]
const perl = (code: string): string => `perl -e '${code}'`

/** Shell texts that print ESCAPED when they got through. `$1`: the neighbour's tree, `$2`: the owner's key file. */
export const ESCAPES = {
  mount: 'mkdir -p m && mount -t tmpfs none m && echo ESCAPED',
  bindMount: 'mkdir -p m && mount --bind /etc m && echo ESCAPED',
  userNamespace: perl(`print "ESCAPED" if syscall(${UNSHARE}, 0x10000000) == 0`),
  mknod: '{ mknod disk b 254 0 || mknod disk b 8 0; } && echo ESCAPED',
  rawSocket: perl('print "ESCAPED" if socket(my $s, 2, 3, 1)'),
  packetSocket: perl('print "ESCAPED" if socket(my $s, 17, 3, 768)'),
  setuid: perl('$< = 0; $> = 0; print "ESCAPED" if $> == 0 || $< == 0'),
  chroot: perl('print "ESCAPED" if chroot(".")'),
  keyring: perl(`my ($t, $n, $p) = ("user", "elder", "x"); print "ESCAPED" if syscall(${ADD_KEY}, $t, $n, $p, 1, -4) > 0`),
  bpf: perl(`my $a = pack("LLLL", 2, 4, 4, 1) . "\\0" x 112; print "ESCAPED" if syscall(${BPF}, 0, $a, 128) > 0`),
  ptraceNeighbour: `for p in $(ls /proc | grep -E "^[0-9]+$"); do grep -q neighbour-marker /proc/$p/environ 2>/dev/null && ${perl(`print "ESCAPED" if syscall(${PTRACE}, 16, $ARGV[0] + 0, 0, 0) == 0`)} $p; done`,
  neighbourEnvironment: 'cat /proc/[0-9]*/environ 2>/dev/null | grep -aq neighbour-marker && echo ESCAPED',
  neighbourKill: 'for p in $(ls /proc | grep -E "^[0-9]+$"); do grep -q neighbour-marker /proc/$p/environ 2>/dev/null && kill -0 $p && echo ESCAPED; done',
  neighbourTree: '{ touch "$1/escaped" || ls "$1/stop" || cat "$1/secret"; } && echo ESCAPED',
  keyFile: `grep -q ${SECRET} "$2" && echo ESCAPED`,
  etc: 'echo x > /etc/elder-escape && echo ESCAPED',
  system: 'echo x > /usr/bin/elder-escape && echo ESCAPED',
  sysctl: 'v=$(cat /proc/sys/kernel/sysrq) && echo $v > /proc/sys/kernel/sysrq && echo ESCAPED; echo h > /proc/sysrq-trigger && echo ESCAPED',
  moduleParameters: 'v=$(cat /sys/kernel/mm/ksm/run) && echo $v > /sys/kernel/mm/ksm/run && echo ESCAPED',
  devices: perl('for ("mem", "kmsg", "vda", "sda", "nvme0n1", "mapper/control") { print "ESCAPED" if open(my $f, "<", "/dev/$_") }'),
}

export function hostileBuilds (name: string, options: HostileOptions): void {
  describe(`hostile builds: ${name}`, { timeout: 180_000 }, () => {
    let engine: Engine
    const trees: string[] = []
    const newTree = async (slot = 0): Promise<string> => {
      const tree = await engine.createTree(newId(), slot)
      trees.push(tree)
      return tree
    }
    beforeAll(async () => {
      engine = await options.make()
      await engine.check()
      await engine.sweep()
    })
    afterAll(async () => {
      for (const tree of trees) await engine.removeTree(tree)
      await options.close?.(engine)
    })

    interface Neighbour { tree: string, end: () => Promise<Outcome> }

    /** A build in slot 1 that works (starts processes, writes files) until it is told to stop, and then ends with 0. */
    async function neighbour (): Promise<Neighbour> {
      const tree = await newTree(1)
      const put = async (file: string, text: string): Promise<void> => {
        await writeFile(join(tree, file), text, { mode: 0o600 })
        if (options.nodeUid !== undefined) await chown(join(tree, file), options.nodeUid, options.nodeUid)
      }
      await put('secret', SECRET)
      const script = 'i=0; until [ -e stop ]; do i=$((i+1)); echo $i > count; cat count > copy; sleep 0.05; done; [ "$(cat copy)" = $i ] && echo well'
      const outcome = collect(engine.run(specOf(tree, ['sh', '-c', script], { slot: 1, env: { PATH, NEIGHBOUR: 'neighbour-marker' } }), { signal: new AbortController().signal }))
      outcome.catch(() => undefined)
      expect(await until(async () => await readFile(join(tree, 'copy')).then(() => true, () => false), 20_000)).toBe(true)
      return {
        tree,
        end: async () => {
          await put('stop', '')
          return await outcome
        },
      }
    }

    /** Runs the command in slot 0 beside a neighbour; checks what must hold whatever it does. */
    async function beside (command: string[], more: Partial<RunSpec> = {}, signal: AbortSignal = new AbortController().signal, start: (tree: string) => void = () => undefined): Promise<Outcome & { tree: string }> {
      const other = await neighbour()
      const marker = newId()
      const tree = more.tree ?? await newTree()
      start(tree)
      const outcome = await collect(engine.run(specOf(tree, [...command, other.tree, options.keyFile], { limits: LIMITS, env: { PATH, MARKER: marker }, ...more, tree }), { signal }))
      expect(await options.survivors(marker)).toEqual([])
      const well = await other.end()
      expect({ exit: well.exit, text: well.text }).toEqual({ exit: { type: 'exit', exitCode: 0, signal: null, reason: null }, text: 'well\n' })
      return { ...outcome, tree }
    }
    const sh = (script: string): string[] => ['sh', '-c', script, 'sh']

    function ends (outcome: Outcome, reason: 'memory' | 'pids' | 'disk'): void {
      expect(outcome.exit.exitCode).not.toBe(0)
      if (options.limits[reason] === true) expect(outcome.exit.reason).toBe(reason)
    }
    const limited = (reason: 'memory' | 'pids' | 'disk'): boolean => {
      const have = options.limits[reason]
      if (have !== true) console.info(`skipped: ${name}: ${reason}: ${have}`)
      return have === true
    }

    test.runIf(limited('pids'))('a fork bomb', async () => {
      ends(await beside(sh('b() { b | b & }; b; sleep 1; wait; exit 1')), 'pids')
    })

    test.runIf(limited('memory'))('a memory hog, and hogs together', async () => {
      ends(await beside(sh(perl('my $n = 300000000; my $x = "a" x $n; sleep 1'))), 'memory')
      if (options.extent === 'part') return
      ends(await beside(sh(`for i in 1 2 3 4; do { ${perl('my $n = 60000000; my $x = "a" x $n; sleep 1')}; echo $? >> codes; } & done; wait; grep -q 137 codes && exit 1; exit 0`)), 'memory')
    })

    const places = options.extent === 'all' ? ['.', '$TMPDIR', '$HOME'] : ['$TMPDIR']
    test.runIf(limited('disk')).each(places)('fills the disk in %s', async place => {
      const outcome = await beside(sh(`head -c 200000000 /dev/zero > "${place}/fill"; sleep 60`))
      expect(outcome.exit).toEqual({ type: 'exit', exitCode: 137, signal: 'SIGKILL', reason: 'disk' })
    })

    test('escapes', async () => {
      const probes = Object.entries(ESCAPES).map(([probe, script]) => `probe=$( (${script}) 2>/dev/null | grep -ao ESCAPED | head -1 ); echo "${probe}:$probe"`)
      const { text } = await beside(sh(`${probes.join('\n')}\n`))
      const lets = Object.keys(options.lets ?? {}).sort()
      const through = text.split('\n').filter(line => line.endsWith(':ESCAPED')).map(line => line.split(':')[0] ?? '').sort()
      expect(text.split('\n').filter(line => line.includes(':'))).toHaveLength(Object.keys(ESCAPES).length)
      for (const [probe, why] of Object.entries(options.lets ?? {})) console.info(`${name} lets ${probe} through: ${why}`)
      expect(through.filter(probe => !lets.includes(probe))).toEqual([])
    })

    test('a tree that is deleted, replaced or locked is removed all the same, and what it points to stays', async () => {
      const outside = join(dirname(options.keyFile), `outside-${newId()}`)
      await mkdir(outside)
      await writeFile(join(outside, 'file'), 'kept')
      const scripts = [
        'rm -rf "$PWD" 2>/dev/null; rm -rf ./* ./.[!.]* 2>/dev/null; true',
        `t=$PWD; cd /; mv "$t" "$t.gone" 2>/dev/null; ln -s ${outside} "$t" 2>/dev/null; ln -s ${outside} "$t/link" 2>/dev/null; true`,
        'mkdir -p a/b/c; echo x > a/b/c/f; chmod 0 a/b/c/f a/b/c a/b a; chmod 0 . ; true',
      ]
      for (const script of scripts) {
        const { tree } = await beside(sh(script))
        await engine.removeTree(tree)
        await expect(lstat(dirname(tree))).rejects.toMatchObject({ code: 'ENOENT' })
        trees.splice(trees.indexOf(tree), 1)
      }
      expect(await readFile(join(outside, 'file'), 'utf8')).toBe('kept')
    })

    test.runIf(options.extent === 'all')('ignores every signal, from many sessions: cancelled within 2 s', async () => {
      const stop = new AbortController()
      let at = 0
      const script = 'trap "" TERM INT HUP QUIT; for i in 1 2 3 4 5 6 7 8; do (setsid sh -c \'trap "" TERM INT HUP QUIT; (setsid sleep 600 &); while :; do sleep 1; done\' &); done; touch up; while :; do sleep 1; done'
      const { exit } = await beside(sh(script), {}, stop.signal, tree => {
        void until(async () => (await readdir(tree).catch((): string[] => [])).includes('up'), 20_000).then(() => {
          at = performance.now()
          stop.abort()
        })
      })
      expect(performance.now() - at).toBeLessThan(10_000)
      expect(exit).toMatchObject({ exitCode: 137, signal: 'SIGKILL' })
    })

    test.runIf(options.extent === 'all' && options.remote === undefined)('half a gigabyte of log passes through without staying', async () => {
      const tree = await newTree()
      global.gc?.()
      const before = process.memoryUsage().rss
      let bytes = 0
      let most = 0
      for await (const event of engine.run(specOf(tree, sh('head -c 500000000 /dev/zero')), { signal: new AbortController().signal })) {
        if (event.type !== 'log') continue
        bytes += event.data.length
        most = Math.max(most, process.memoryUsage().rss - before)
      }
      expect(bytes).toBe(500_000_000)
      expect(most).toBeLessThan(250 * MB)
    })

    test.runIf(options.extent === 'all')('outputs: locked folders, pipes, devices of its own, 100,000 files', async () => {
      const tree = await newTree()
      const make = 'mkdir -p out/locked out/many && mkfifo out/pipe && ln -s /etc/passwd out/link && ln -s / out/root && echo x > out/locked/f && chmod 0 out/locked && ' +
        perl('for my $i (1..100000) { open(my $f, ">", "out/many/$i") or die; } open(my $f, ">", "out/good"); print $f "good"')
      const { exit } = await collect(engine.run(specOf(tree, sh(make), { limits: { ...LIMITS, diskBytes: 512 * MB, memoryBytes: 512 * MB } }), { signal: new AbortController().signal }))
      expect(exit.exitCode).toBe(0)
      const reader = new FileOutputReader()
      const found = await reader.match(tree, ['out/good', 'out/locked/**', 'out/pipe', 'out/link', 'out/root/**'], { signal: new AbortController().signal })
      // Who is root reads what is locked; nobody is led out of the tree or waits for a pipe.
      expect(found.paths.filter(path => path !== 'out/locked/f')).toEqual(['out/good'])
      await expect(reader.match(tree, ['out/**'], { signal: new AbortController().signal })).rejects.toMatchObject({ code: 'OUTPUT_INVALID' })
      await engine.removeTree(tree)
      trees.splice(trees.indexOf(tree), 1)
      await expect(lstat(dirname(tree))).rejects.toMatchObject({ code: 'ENOENT' })
    })
  })
}
