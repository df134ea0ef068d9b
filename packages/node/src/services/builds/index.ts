export { Builds } from './builds.ts'
export { BuildHost } from './build-host.ts'
export { BuildLink } from './link.ts'
