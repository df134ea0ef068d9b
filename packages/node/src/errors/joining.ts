import { error, met, type Codes } from './codes.ts'

const NEW_TICKET = 'On a device of the mesh: `elder-node invite`; a ticket lives 15 minutes unless `--expires` says otherwise.'

export const JOINING: Codes = {
  NO_MESH: error('The data directory belongs to no mesh: this device has neither founded nor joined one, or `--dir` names another place.', '`elder-node join` founds a mesh; `elder-node join <ticket>` joins one.'),
  TICKET_MALFORMED: error('The text is no whole ticket: cut off, altered on its way, or something else, such as a recovery text.', 'Copy all of it, from `elder1` to its end, or send it as a file: `elder-node join --ticket-file <path>`.'),
  TICKET_EXPIRED: error('The time of the ticket is over, by the clock of this device or of the one that issued it.', `${NEW_TICKET} If it was fresh, one of the two clocks is wrong: \`elder-node doctor\`.`),
  TICKET_USED: error('The ticket has already let another device in; each admits one.', NEW_TICKET),
  TICKET_FORGED: error('The signature of the ticket does not hold, or the mesh never issued it.', NEW_TICKET),
  ISSUER_GONE: error('The device that signed the ticket is no admin any more, or never was.', 'On another admin: `elder-node invite`'),
  WRONG_MESH: error('The data directory belongs to one mesh, and the ticket or the device at its address to another.', 'To go over: `elder-node leave --force`, then join again. To be in both: a second `--dir`.'),
  ADMISSION_TIMEOUT: error('No device of the mesh let this one in within `--timeout`: none is reachable from here, or none that may decide is online. The message lists every address tried.', 'Is a device of the mesh running, and can this network reach it? docs/NETWORKS.md tells which networks work. Then join again with a new ticket: `elder-node invite`'),
  EVICTED: error('An admin removed this device, it was marked as lost, or it left. The key of an evicted device never returns.', 'Lost by mistake: join again with a new ticket. Else: `elder-node leave --force`, or another `--dir`, then `elder-node join <ticket>` as a new device.'),
  EVICTION_DISPUTED: met('problem', 'Two admins evicted each other (or marked as lost), and neither knew. Devices that heard of one eviction first go by that one.', 'No command takes one back. On the other side: `elder-node invite`; then here `elder-node leave --force`, and `elder-node join <ticket>` as a new device.'),
  NO_ADMIN: met('problem', 'The admins of the mesh were evicted, left or are lost, and nobody is left who invites, evicts or promotes. Builds and memory go on.', 'Found a new mesh: `elder-node join` with an empty `--dir`; invite the devices, and read the stacks from a remote: `elder-node stack restore <url>`'),
  NOT_A_MEMBER: met('error peer', 'This device is in no mesh, or whoever answered at an address of the mesh does not belong to it.', '`elder-node join`; at an address that another machine took over there is nothing to do.'),
  NOT_ADMIN: error('Only admins invite, promote, evict.', 'Run it on a device that `elder-node devices` shows as admin; or there: `elder-node devices promote <device>`'),
  NO_ADDRESS: error('A ticket names addresses to dial, and this node has none but loopback, or none that is short enough.', 'Connect to a network, or say how it is reached: `elder-node config set announce <multiaddr>`'),
  ROSTER_FULL: error('The mesh holds as many membership records as it can, or as many as it keeps of one admin: each invitation, admission and removal is one, for good.', 'When the message speaks of this device: run it on another admin; there is always room to make one, as the message says: `elder-node devices promote <device>`. Else found a new mesh, and bring the stacks over by a mirror: `elder-node stack restore <url>`'),
  RECOVERY_MALFORMED: error('The recovery text is incomplete or mistyped.', 'Type it as it was shown when the mesh was founded.'),
  LAST_ADMIN: error('Without this device nobody could invite or evict; when it is the only device, the mesh ends with it.', '`elder-node devices promote <device>`, then leave; or `elder-node leave --force`'),
  ONLY_COPY: met('error problem', 'A stack with entries is on this device alone: no other device is connected that holds all of it, and no remote does.', 'Start another device, or `elder-node stack remote add <stack> <git url>`'),
  NOBODY_TOLD: error('No other device answers, to hear that this one leaves, so the mesh would go on counting it.', 'Start another device first; or `elder-node leave --force`, and on another device: `elder-node evict <device>`'),
  SELF: error('A device cannot do this to itself.', 'Run it on another device; to take this one out of the mesh: `elder-node leave`'),
  NOT_EVICTED: error(
    'What a device wrote beyond its cut should be brought back, and it has none: it is a member, or left by itself.',
    'Give the id of the evicted device: `elder-node stack verify` names those of which something is kept aside.',
  ),
  NOTHING_ASIDE: error(
    'No device that is connected keeps anything that the evicted device wrote beyond its cut.',
    'Start the devices that were with it last, then again: `elder-node evict <device> --keep`',
  ),
  TAKEN_BACK: error(
    'An eviction with `--undo` took back all that the device wrote, and such a record stands for ever.',
    'Write what is missed again: `elder-node stack add <stack> --kind note --title "…"`',
  ),
  NO_SUCH_DEVICE: error('No device of the mesh has that name, nor an id that begins so; or it left, or was evicted.', '`elder-node devices` lists names and ids.'),
  AMBIGUOUS: error('Several devices, builds, entries or archived stacks answer to what was typed.', 'Type more of it; the message lists what is meant.'),
}
