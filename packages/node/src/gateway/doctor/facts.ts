/** What the checks look at: everything that was read, and nothing that was decided. */
import type { Diagnosis, Status } from '../../api.ts'

/** A failure in words that can be shown. */
export interface Fault { code: string, message: string, fix: string }

export interface Facts {
  platform: NodeJS.Platform
  /** Null where the system has no users. */
  uid: number | null
  user: string
  /** `npx`, `service`: how the running node was started, or without one this command. */
  program: { version: string, node: string, npx: boolean, service: boolean }
  /** `missing`: folders that every start makes. */
  dir: { path: string, there: boolean, mode: number, uid: number, writable: boolean, disk: { freeBytes: number, totalBytes: number } | null, missing: string[] }
  key: { path: string, mode: number, fault: { code: string, message: string, fix: string } | null } | null
  /** The small files that are there, or missing although they should be. `heals`: without its owner, or by another device. */
  files: Array<{ path: string, fault: Fault | null, heals: boolean }>
  lock: { path: string, there: boolean, holder: number | null }
  /** `folder`: where the socket is made, when that is not the data directory. */
  socket: { path: string, there: boolean, answers: boolean, folder: { path: string, mode: number, uid: number } | null }
  settings: { fault: Fault | null, recoverySaved: boolean, engine: string, /** Of builds that name none; undefined: the engine's own. */ image?: string, mdns: boolean, slots: number | null }
  /** TCP ports this node listens on, or will. `holder`: undefined when nobody or nobody we may see. */
  ports: Array<{ port: number, taken: boolean, holder: { pid: number, name: string } | undefined }>
  engines: Array<{ name: string, note: string, fault: Fault | null, /** Runs images, and has none for builds that name none. */ bare?: boolean }>
  /** The Docker socket, when there is one: the code of the error that opening it gave. */
  docker: { path: string, error: string | null, inGroup: boolean } | null
  /** Files of the kernel and of a Raspberry Pi; null where there is none. */
  kernel: { model: string | null, cgroups: string | null, controllers: string | null, cmdline: { path: string, text: string } | null, swaps: string | null, mounts: string | null, memoryBytes: number }
  time: { synchronized: boolean | null, why: string }
  /** `node`: asked of the running node, whose PATH counts; else of this command. */
  git: { works: boolean, node: boolean }
  /** Null: nobody could say which remotes there are. */
  remotes: Array<{ url: string, fault: Fault | null }> | null
  /** What the running node says; null when none runs. */
  mesh: { status: Status, diagnosis: Diagnosis } | null
  /** This directory belongs to a mesh. */
  hasMesh: boolean
}
