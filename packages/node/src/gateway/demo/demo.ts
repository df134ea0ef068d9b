import type { Context } from '../cli/context.ts'
export async function runDemo (_c: Context, _o: { exit?: true }): Promise<number> { return 1 }
