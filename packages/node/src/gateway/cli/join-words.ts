/** What `join` says to people: that the node is ready and what it does, and why it is none. */
import { ElderError, toDeviceName } from '@elder-node/protocol'
import { plain } from '../render/units.ts'
import type { Context } from './context.ts'
import type { Detached, Ready } from './detach.ts'

export function announce ({ output }: Context, { device, mesh, joined, addresses, http, recovery, offer }: Ready, { recoverySaved, detached }: { recoverySaved: boolean, detached?: Detached }): void {
  if (output.json) return output.document('join', { event: 'ready', device, mesh, addresses, ...(detached === undefined ? {} : { pid: detached.pid }) })
  const how = { founded: 'founded mesh', admitted: 'joined mesh', returned: 'back in mesh' }[joined]
  output.line(`${how} ${output.paint('bold', plain(mesh.name))} as ${output.paint('bold', plain(device.name))}`)
  for (const address of addresses) output.line(`  ${output.paint('dim', address)}`)
  if (http !== undefined) output.line(`  ${output.paint('dim', `${http}/metrics  /readyz  /healthz`)}`)
  output.line(offerText(offer))
  if (recovery !== undefined && !recoverySaved) output.line(`Recovery text, shown this once; keep it away from this device:\n  ${recovery}`)
  output.line(`Add a device: elder-node invite    Look: elder-node status    Stop: ${detached === undefined ? 'Ctrl-C' : `kill ${detached.pid}`}`)
}

function offerText ({ slots, engine, bare }: Ready['offer']): string {
  if (slots === 0) return 'Takes no builds; why: elder-node doctor'
  return `Takes ${slots === 1 ? '1 build' : `${slots} builds`} at once, engine ${plain(engine ?? 'none')}${engine === 'process' ? ': NO isolation, as you said' : ''}${bare ? '\nNo default image: a build must name one, until you run: elder-node image build' : ''}`
}

/** A name is asked for once, by who joins. */
export function sayOldName ({ output }: Context, { device, joined }: Ready, wish: string | undefined): void {
  if (wish === undefined || joined !== 'returned') return
  const asked = toDeviceName(wish)
  if (device.name !== asked && !device.name.startsWith(`${asked}-`)) output.warn(`--name ${asked}: this device keeps the name it joined with, ${plain(device.name)}`)
}

export function sayLeft ({ output }: Context, mesh: { id: string, name: string }): void {
  if (output.json) output.document('join', { event: 'left', mesh })
  else output.note(`left the mesh ${plain(mesh.name)}`)
}

/** Without its ticket the same device would found a mesh of its own. */
export function stopped ({ ticketFile, detach: inBackground }: { ticketFile?: string, detach?: true }, words: string[]): ElderError {
  const file = ticketFile ?? (words.length > 0 ? '-' : undefined)
  return new ElderError('CANCELLED', 'stopped before this device was in a mesh', `elder-node join${file === undefined ? '' : ` --ticket-file ${file}`}${inBackground === true ? ' --detach' : ''}`)
}
