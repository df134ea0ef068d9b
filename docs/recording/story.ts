/** What the recording shows, in order. A test checks that these commands exist and that the committed recording shows them. */
export interface Scene {
  readonly pane: 'laptop' | 'mini'
  readonly command: string
  /** What is pasted at the command's prompt. */
  readonly paste?: 'ticket'
  /** The command goes on while the next scene begins, once it has printed this. */
  readonly until?: string
}

export const STORY: readonly Scene[] = [
  { pane: 'laptop', command: 'elder-node join --detach --slots 0' },
  { pane: 'laptop', command: 'elder-node invite' },
  { pane: 'mini', command: 'elder-node join --detach --slots 2 --ticket-file -', paste: 'ticket' },
  { pane: 'laptop', command: 'elder-node status    # a Pi has joined in the same way' },
  { pane: 'laptop', command: 'elder-node build . -- sh count.sh', until: 'step 3' },
  { pane: 'mini', command: 'kill -9 $NODE        # as if somebody pulled the plug' },
  { pane: 'laptop', command: "elder-node stack add hello --kind note --title 'mini fell over'" },
  { pane: 'mini', command: 'elder-node join -q --detach' },
  { pane: 'mini', command: 'elder-node stack show hello' },
  { pane: 'laptop', command: 'elder-node stack verify hello' },
]
