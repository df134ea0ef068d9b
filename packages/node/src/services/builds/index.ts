export { Builds, type BuildsComponents, type BuildsInit } from './builds.ts'
export { BuildHost, type HostComponents, type HostInit } from './build-host.ts'
export { serveBuilds } from './serve.ts'
