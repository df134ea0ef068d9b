/** From what was asked, and what the project says, to what travels. */
import { ElderError, IMAGE_REF, isInsideTree, outputGlobs, parseSpec, type BuildId, type BuildSpec } from '@elder-node/protocol'
import type { BuildRequest } from '../../api.ts'
import type { Snapshot } from '../../ports/source.ts'
import type { Recipe } from './recipe.ts'

/** @throws ElderError `USAGE` without a command; `BAD_REQUEST`, `OUTPUT_INVALID`: no builder would take such a spec */
export function specOf (build: BuildId, request: BuildRequest, snapshot: Snapshot, recipe: Recipe, traceparent: string): BuildSpec {
  if (recipe.command === null) throw new ElderError('USAGE', ['the command to run is missing', ...recipe.warnings].join('; '), 'Write it behind --: elder-node build . -- npm test   (or in .elder.json: {"build":{"command":["npm","test"]}})')
  const outside = recipe.outputs.find(glob => !isInsideTree(glob))
  if (outside !== undefined) throw new ElderError('BAD_REQUEST', `the output ${JSON.stringify(outside.slice(0, 200))} leaves the tree of the build`, 'Give globs relative to the root of the tree: --out "dist/**".')
  if (recipe.image !== null && !IMAGE_REF.test(recipe.image)) {
    throw new ElderError('BAD_REQUEST', `${JSON.stringify(recipe.image.slice(0, 80))} is not the name of an image`, IMAGE_REF.test(recipe.image.toLowerCase()) ? 'Before its tag a name has small letters only: --image node:24' : 'Write it as Docker does: --image node:24, registry.example/owner/name:tag or name@sha256:…')
  }
  const spec = parsed({
    build, source: { commit: snapshot.commit, project: snapshot.project, cwd: snapshot.cwd }, command: recipe.command, prepare: recipe.prepare, outputs: recipe.outputs,
    env: request.env ?? {}, memoryBytes: recipe.memoryBytes, cpus: recipe.cpus, deadlineMs: request.deadlineMs ?? null, sealed: request.sealed === true, image: recipe.image,
    agent: request.agent ?? null, traceparent,
  })
  outputGlobs(spec.outputs)
  return spec
}

function parsed (spec: Parameters<typeof parseSpec>[0]): BuildSpec {
  try {
    return parseSpec(spec)
  } catch (error) {
    throw new ElderError('BAD_REQUEST', (error as Error).message, 'Check that part of the command, and of .elder.json.', {}, { cause: error })
  }
}
