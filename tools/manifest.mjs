/**
 * `prepack` and `postpack` of every package: puts the manifest that tools/bundle.mjs wrote in the place of package.json while npm
 * packs, and the one of the repository back afterwards. npm reads the manifest again after `prepack`, for the registry too.
 */
import { copyFileSync, existsSync, renameSync } from 'node:fs'

const KEPT = '.package.json.kept'

if (process.argv[2] === 'in') {
  if (!existsSync('published.json') || !existsSync('lib')) {
    console.error(`elder-node: ${process.env.npm_package_name} is not bundled yet. Fix: npm run build`)
    process.exit(1)
  }
  // Of a pack that was killed: what it kept is the true one.
  if (!existsSync(KEPT)) copyFileSync('package.json', KEPT)
  copyFileSync('published.json', 'package.json')
} else if (existsSync(KEPT)) {
  renameSync(KEPT, 'package.json')
}
