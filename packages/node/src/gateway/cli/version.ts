/** The version that is installed, as package.json says it. */
import { readFileSync } from 'node:fs'
import { packageRoot } from '../../package-root.ts'

export function version (): string {
  const json: unknown = JSON.parse(readFileSync(new URL('package.json', packageRoot), 'utf8'))
  return (json as { version: string }).version
}
