/** What a test needs of the machine, said aloud when it is not there: a skip without a reason hides a hole. */

/** @returns the condition, for `test.runIf(needs(...))`; prints why the tests are skipped when it is false. */
export function needs (condition: boolean, what: string): boolean {
  if (!condition) console.info(`skipped: needs ${what}`)
  return condition
}
