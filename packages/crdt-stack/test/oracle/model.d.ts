/** What these tests use of the model's rules. */
declare module '*/strands/rules.mjs' {
  export interface ModelRef { feed: string, seq: number, hash: string }
  export interface ModelRecord extends ModelRef {
    dev: string, prev: string, deps: ModelRef[], at: number, kind: string, body: Record<string, unknown>,
  }
  export interface ModelNode { rec: ModelRecord, void: string | undefined }
  export interface ModelView {
    entries: Map<string, { birth: ModelNode, fields: Map<string, ModelNode[]> }>, skipped: Map<string,
    { why: string, dev: string | undefined }>,
  }
  export type ModelRules = Record<string, unknown>
  export const RULES: ModelRules
  export function genesis (feed: string): string
  export function clientOf (feed: string, entry: string, nonce: string): string
  export function byFeedHash (a: ModelRef, b: ModelRef): number
  export class Replica {
    readonly nodes: Map<string, ModelNode>
    readonly waiting: Map<string, ModelRecord>
    constructor (rules: ModelRules)
    take (record: ModelRecord): 'have' | 'accepted' | 'waits' | 'malformed' | 'full'
    prune (): number
    vector (): ModelRef[]
    view (): ModelView
    evict (device: string, keep: string[], undo: boolean): boolean
  }
}
