/**
 * Makes a fresh clone runnable with nothing to do by hand: installs what package-lock.json says when it is not there yet,
 * and with --build compiles the packages. Runs under Node 20; everything after it runs under the Node 24 it installs.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { alone } from './alone.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const changedMs = path => existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : 0
// npm writes this file last: it is there when an install came to its end, and older than a lock file that changed since.
const isInstalled = () => changedMs('node_modules/.package-lock.json') >= changedMs('package-lock.json') && existsSync(join(root, 'node_modules/.bin/tsc'))

/** Runs one command of the clone; on failure prints the command that mends it and ends with its exit code. */
function run (command, args, remedy) {
  try {
    // stdout belongs to the command the user asked for (`npm start -- --json`): what happens before goes to stderr.
    execFileSync(command, args, { cwd: root, stdio: ['ignore', process.stderr, process.stderr], shell: process.platform === 'win32' })
  } catch (error) {
    console.error(`\nelder-node: \`${command} ${args.join(' ')}\` failed. Fix: ${remedy}`)
    process.exit(typeof error.status === 'number' && error.status > 0 ? error.status : 1)
  }
}

// Two `npm test` of one clone share node_modules and dist: the second waits until the first has made them, then finds nothing to do.
const release = alone(join(root, '.bootstrap.lock'))
process.on('exit', release)
if (!isInstalled()) {
  console.error('elder-node: first run in this clone, installing its dependencies (about 20 s)…')
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], 'check the network, then run `npm ci` here and repeat.')
}
if (process.argv.includes('--build')) {
  run(join(root, 'node_modules', '.bin', 'tsc'), ['-b'], 'run `npm run build` and mend what it names.')
}
