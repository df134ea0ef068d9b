/** What happens in a run, made from a seed before it begins, so that a failing run can be told again with less in it. */

export interface Step { atMs: number }

/**
 * The shortest schedule found that still fails: drops steps in halves, then smaller parts, then one by one.
 *
 * @param fails true when a run of these steps fails in the same way
 * @param runsMax stops after so many runs
 */
export async function shrink<S extends Step> (steps: readonly S[], fails: (steps: readonly S[]) => Promise<boolean>, runsMax = 200): Promise<S[]> {
  let kept = [...steps]
  let runs = 0
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < kept.length && runs < runsMax;) {
      const fewer = [...kept.slice(0, from), ...kept.slice(from + size)]
      runs++
      if (await fails(fewer)) kept = fewer
      else from += size
    }
  }
  return kept
}

/** Steps as text, one a line: what a failing test prints. */
export function told (steps: ReadonlyArray<Step & { type: string }>): string {
  return steps.map(step => `  ${JSON.stringify(step)}`).join('\n')
}

/** Throws what went wrong with the seed and the shortest schedule that still shows it. */
export async function soundOrTold<S extends Step & { type: string }> (
  seed: number, steps: readonly S[], run: (steps: readonly S[]) => Promise<{ violations: string[] }>,
): Promise<void> {
  const { violations: [what] } = await run(steps)
  if (what === undefined) return
  const shortest = await shrink(steps, async fewer => (await run(fewer)).violations.includes(what))
  throw new Error(`seed ${seed}: ${what}; the shortest schedule found, ${shortest.length} of ${steps.length} steps:\n${told(shortest)}`)
}
