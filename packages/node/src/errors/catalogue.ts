/**
 * Every code that a person or a program can meet, with its cause and its fix: `docs/reference/errors.md` is made of it, and a test holds it to the
 * sources, so no code is without its line and no line without its code. Nothing loads it at start.
 */
import { BUILDS, ENGINES } from './builds.ts'
import type { Codes } from './codes.ts'
import { FINDINGS, PROBLEMS } from './health.ts'
import { JOINING } from './joining.ts'
import { MEMORY, MIRRORS } from './memory.ts'
import { DOOR, NETWORK } from './network.ts'
import { NODE } from './node.ts'
import { PAGES, USAGE } from './usage.ts'

/** In the order of the page. */
export const ERROR_GROUPS: ReadonlyArray<readonly [title: string, codes: Codes]> = [
  ['What was typed', USAGE], ['Joining, members, leaving', JOINING], ['The node on this device', NODE], ['Builds', BUILDS], ['Engines and images', ENGINES],
  ['Memory', MEMORY], ['Mirrors and git', MIRRORS], ['Network', NETWORK], ['Problems that a node finds by itself', PROBLEMS], ['What doctor finds', FINDINGS],
  ['Pages over HTTP', PAGES], ['What the door answers', DOOR],
]

export const ERRORS: Codes = Object.fromEntries(ERROR_GROUPS.flatMap(([, codes]) => Object.entries(codes)))
