import { readFileSync } from 'node:fs'
import { packageRoot } from './package-root.ts'

/** The version of this package, as its package.json, `status` and the adverts say it. */
export const VERSION: string = (JSON.parse(readFileSync(new URL('package.json', packageRoot), 'utf8')) as { version: string }).version
