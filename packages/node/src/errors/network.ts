import { met, type Codes } from './codes.ts'

export const NETWORK: Codes = {
  UNREACHABLE: met('error peer', 'No way leads to the device: it is off, asleep, or no address of it can be dialled from here.', '`elder-node ping <device>` shows each address and what goes wrong there; docs/NETWORKS.md says which networks work.'),
  NOT_DIRECT: met('error', 'Every answer came through another member: the two devices cannot dial each other.', 'Forward a port to one of them, and say so there: `elder-node config set announce <multiaddr>`'),
  STREAM_RESET: met('error peer', 'The connection to a device broke in the middle of something.', 'Repeat it; `elder-node status` shows whether the device is online.'),
  ABORTED: met('peer', 'Who asked gave up before the answer.', 'Nothing: it asks again when it still wants to know.'),
  MALFORMED: met('error build peer', 'Bytes from outside break a rule of the protocol and were not used: another program, a fault, or an attack.', 'Bring both devices to the same version; `node.log` names the device.'),
  VERSION: met('error peer', 'The two devices speak versions of the protocol that do not fit.', 'Bring both to the same release.'),
}

/** What the door of a device answers to one that it does not let in: in `ADMISSION_TIMEOUT` and in logs. */
export const DOOR: Codes = {
  'not-a-member': met('peer', 'The device at the door is no member, or was marked as lost.', 'Join with a new ticket: `elder-node invite`'),
  revoked: met('peer', 'The device was evicted; its key never returns.', 'Join as a new device: another `--dir`, a new ticket.'),
  expired: met('peer', 'The ticket is too old by the clock of its issuer.', 'A new ticket: `elder-node invite`'),
  used: met('peer', 'The ticket let another device in.', 'A new ticket: `elder-node invite`'),
  forged: met('peer', 'The ticket, or the signature shown with it, does not hold.', 'A new ticket: `elder-node invite`'),
  proof: met('peer', 'The records that shall show the membership do not verify.', 'Bring both devices to the same version; then join with a new ticket.'),
  'wrong-mesh': met('peer', 'The device belongs to another mesh.', 'Nothing, unless the address was meant: then join with a ticket of that mesh.'),
  'not-issuer': met('peer', 'The issuer of the ticket is no admin.', 'On an admin: `elder-node invite`'),
  'issuer-unreachable': met('peer', 'Only the issuer can redeem a ticket, and the device that was asked cannot reach it.', 'Start the device that issued the ticket, or take one of an admin that is online.'),
  busy: met('peer', 'The device is still joining itself, or is not able to decide now; or it has refused this one several times, which has to wait.', 'It is tried again by itself.'),
  version: met('peer', 'The device speaks another version of the protocol.', 'Bring both to the same release.'),
}
