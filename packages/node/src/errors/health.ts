import { met, type Codes } from './codes.ts'

const TIME = '`sudo timedatectl set-ntp true` on the device whose clock is wrong.'

/** What a node finds by itself, and `status` shows. Conditions and thresholds: docs/reference/alerts.md. */
export const PROBLEMS: Codes = {
  NO_NETWORK: met('problem', 'This device has no address but loopback, and no other device is connected.', 'Connect it to a network; reading and writing memory goes on meanwhile.'),
  RESTART_LOOP: met('problem', 'The node ended uncleanly and was started again, several times within 15 minutes.', 'The end of `node.log` says why; `elder-node doctor` looks for the usual reasons.'),
  DEVICE_DOWN: met('problem', 'A device that offered build slots is not online any more.', 'Look at it; when it is gone for good: `elder-node evict <device>`'),
  DISK_LOW: met('problem finding', 'Less than 10 % of a disk is free: builds and memory are at risk.', 'Free some space.'),
  MEMORY_HIGH: met('problem', 'A device has used more than 90 % of its memory for five minutes.', 'End what needs it, or run fewer builds there: `elder-node config set slots 1`'),
  LOOP_BLOCKED: met('problem', 'The node answers late, because the machine is overloaded; others may take it for dead.', 'Less load, or fewer slots: `elder-node config set slots 1`'),
  QUEUE_STUCK: met('problem', 'A build waits for a slot while a device that would take it has one free.', '`elder-node builds why <id>` says why; please report it.'),
  MIRROR_BEHIND: met('problem', 'A remote did not take what it should; the message says why.', '`git ls-remote <url>` shows what git sees; then `elder-node stack sync`'),
  MIRROR_STALE: met('problem', 'Changes of a stack have not been on one of its remotes for four hours.', '`elder-node stack sync <stack>` says why; other devices still have them.'),
  VERSION_SKEW: met('problem finding', 'Devices that are online run different versions.', 'Bring all to the same.'),
}

/** Of `doctor`, besides those above. */
export const FINDINGS: Codes = {
  NODE_TOO_OLD: met('finding', 'Node.js is older than the program needs.', 'Install Node 24.'),
  STARTED_BY_NPX: met('finding', 'The node was started by npx: its program may vanish with the cache, and it ends with its terminal.', '`elder-node service install`'),
  DIR_MISSING: met('finding', 'The data directory is gone.', 'Is its disk mounted? `elder-node doctor --fix` makes an empty one.'),
  DIR_OWNER: met('finding', 'The data directory belongs to another user.', 'Run as that user, or `sudo chown -R "$(id -u)" <dir>`.'),
  DIR_READ_ONLY: met('finding', 'The data directory cannot be written.', '`chmod u+rwx <dir>`; is the disk mounted read-only?'),
  DIR_READABLE: met('finding', 'Other users may look into the data directory.', '`elder-node doctor --fix`'),
  DIR_INCOMPLETE: met('finding', 'Folders of the data directory are missing.', '`elder-node doctor --fix`'),
  LOCK_STALE: met('finding', 'The lock of a node that is gone was left.', 'The next start removes it; or `elder-node doctor --fix`'),
  SOCKET_STALE: met('finding', 'The control socket of a node that is gone was left.', 'The next start removes it; or `elder-node doctor --fix`'),
  NODE_SILENT: met('finding', 'The node runs and does not answer its control socket.', 'Look at the end of `node.log`; then end the process and `elder-node join`'),
  PORT_SILENT: met('finding', 'The node runs, and nobody listens on its port.', 'Look for LISTEN_FAILED in `node.log`, then start the node again.'),
  DOCKER_GROUP: met('finding', 'This user may not open the socket of Docker.', '`sudo usermod -aG docker <user>`, then log in again; that group is as good as root.'),
  DOCKER_GROUP_LATE: met('finding', 'This user is in the group docker since after this session began.', 'Log out and in again, or restart the service.'),
  DOCKER_SILENT: met('finding', 'The socket of Docker is there, and nobody answers.', '`sudo systemctl start docker`'),
  MEMORY_CGROUP_OFF: met('finding', 'The kernel was started without the memory cgroup, as Raspberry Pi OS does: builds have no memory limit.', 'Add `cgroup_enable=memory cgroup_memory=1` to the kernel command line, then reboot; doctor prints the command.'),
  CMDLINE_LINES: met('finding', 'The kernel command line of the Raspberry Pi has several lines; only the first is read.', 'Make it one line, then reboot.'),
  SWAP_ON_CARD: met('finding', 'The machine swaps to its SD card, which builds wear out.', '`sudo apt install zram-tools`, then `sudo dphys-swapfile swapoff`.'),
  NO_SWAP: met('finding', 'Little memory and no swap: a build may take the node with it.', '`sudo apt install zram-tools`, or no builds here: `elder-node config set slots 0`'),
  CLOCK_UNSET: met('finding', 'No time server sets this clock: tickets expire early or late.', TIME),
  CLOCK_SKEW: met('finding', 'This clock differs from those of the other devices.', TIME),
  ONE_ADMIN: met('finding', 'One admin alone: with that device the right to invite and evict is lost.', '`elder-node devices promote <device>`; or keep the recovery text, and say so: `elder-node config set recovery.saved yes`'),
  ALONE: met('finding', 'No other device of the mesh is online.', '`elder-node ping <device>` shows each address and what goes wrong there.'),
  NOT_REACHABLE: met('finding', 'Devices on other networks cannot dial this one, and no member passes connections on.', 'Forward a port and say so: `elder-node config set announce <multiaddr>`; or let a device with a public address join.'),
  VERSION_OF_NODE: met('finding', 'The running node is of another version than the command.', 'Restart the node.'),
  MDNS_BLOCKED: met('finding', 'Devices on this network are connected and were never found by mDNS: the access point or a firewall drops it.', 'Known addresses go on working; else `elder-node config set announce <multiaddr>`'),
}
