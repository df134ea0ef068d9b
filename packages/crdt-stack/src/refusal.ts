/** Why a record is invalid. It closes its feed, so it never crosses the package's border as an exception. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
}

export function refuse (why: string): never { throw new Refusal(why) }
