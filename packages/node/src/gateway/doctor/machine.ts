/** The machine below: engines, Docker's group, the memory cgroup of a Raspberry Pi, swap and SD card, the clock. */
import { fail, ok, skip, warn } from './check.ts'
import type { Check, Finding } from './check.ts'
import type { Facts } from './facts.ts'

const SWAP_MEMORY_BYTES = 2 * 2 ** 30
const WANTED = ['cgroup_enable=memory', 'cgroup_memory=1']

export const MACHINE: Check[] = [
  { name: 'engine', decide: engines },
  { name: 'docker group', decide: dockerGroup },
  { name: 'memory cgroup', decide: memoryCgroup },
  { name: 'swap', decide: swap },
  { name: 'clock', decide: clock },
]

/** One that works is enough; why the others do not is said with it. */
function engines ({ engines: all, settings }: Facts): Finding[] {
  if (settings.engine === 'none' || settings.slots === 0) return [skip('this device is set to run no builds')]
  const wanted = settings.engine === 'auto' ? undefined : settings.engine
  if (wanted === undefined && all.every(({ fault }) => fault !== null)) {
    return [warn('NO_ENGINE', `nothing here can run builds: ${all.map(why).join('; ')}`, 'Install Docker, Podman or bubblewrap; or, without isolation: elder-node config set engine process')]
  }
  return all.map((engine): Finding => {
    if (engine.fault === null) return engine.bare === true ? warn('IMAGE_MISSING', `${engine.note}: a build must name its image to run here`, 'elder-node image build') : ok(engine.note)
    return engine.name === wanted ? fail(engine.fault.code, why(engine), engine.fault.fix) : skip(why(engine))
  })
}

function why ({ name, fault }: Facts['engines'][number]): string {
  const message = fault?.message.replace(/^no engine: /, '') ?? ''
  return message.startsWith(name) || name === '' || name === 'no' ? message : `${name}: ${message}`
}

function dockerGroup ({ docker, user, uid, settings }: Facts): Finding {
  if (docker === null) return skip('there is no Docker socket here')
  if (docker.error === null) return ok(`${docker.path} is open to ${user}`)
  const judge = settings.engine === 'docker' ? fail : warn
  if (docker.error === 'EACCES' && uid !== 0) {
    return docker.inGroup
      ? judge('DOCKER_GROUP_LATE', `${user} is in the group docker, but this session began before that`, 'Log out and in again, or restart the service; then start the node again.')
      : judge('DOCKER_GROUP', `${user} may not open ${docker.path}`, `sudo usermod -aG docker ${user}   then log in again (that group is as good as root on this machine)`)
  }
  return judge('DOCKER_SILENT', `${docker.path} is there and does not answer (${docker.error})`, 'sudo systemctl start docker')
}

/** Raspberry Pi OS boots with the memory cgroup off: containers then run without any limit of memory, or not at all. */
function memoryCgroup ({ platform, kernel }: Facts): Finding {
  if (platform !== 'linux') return skip('only Linux has cgroups')
  if (kernel.cgroups === null && kernel.controllers === null) return skip('this kernel tells nothing of cgroups')
  if (isMemoryOn(kernel)) return ok('the kernel can limit memory')
  const message = `the memory cgroup is off${kernel.model === null ? '' : ` (${kernel.model})`}: no build can be held to its memory`
  if (kernel.cmdline === null) return fail('MEMORY_CGROUP_OFF', message, `Add ${WANTED.join(' ')} to the command line of the kernel (GRUB_CMDLINE_LINUX in /etc/default/grub, then sudo update-grub), then reboot.`)
  const { path, text } = kernel.cmdline
  if (text.trimEnd().includes('\n')) return fail('CMDLINE_LINES', `${message}; ${path} has more than one line, and the kernel reads the first alone`, `Make it one line that ends in: ${WANTED.join(' ')}   then: sudo reboot`)
  const words = text.trim().split(/\s+/)
  const lacks = WANTED.filter(word => !words.includes(word))
  if (lacks.length === 0) return fail('MEMORY_CGROUP_OFF', message, `${path} is right already: sudo reboot`)
  return fail('MEMORY_CGROUP_OFF', message, `sudo sed -i '1 s/$/ ${lacks.join(' ')}/' ${path}   then: sudo reboot`)
}

/** Version 2 lists what is on; version 1 has a table: name, hierarchy, groups, enabled. */
function isMemoryOn ({ cgroups, controllers }: Facts['kernel']): boolean {
  if (controllers !== null && controllers.trim() !== '') return controllers.split(/\s+/).includes('memory')
  const row = (cgroups ?? '').split('\n').map(line => line.split(/\s+/)).find(([name]) => name === 'memory')
  return row?.[3] === '1'
}

function swap ({ platform, kernel }: Facts): Finding {
  if (platform !== 'linux' || kernel.swaps === null) return skip('this system does not say whether it swaps')
  const rows = kernel.swaps.trim().split('\n').slice(1).map(line => line.split(/\s+/)[0] ?? '')
  const isOnCard = rows.some(path => path.startsWith('/dev/mmcblk')) || (rows.some(path => path.startsWith('/') && !path.startsWith('/dev/')) && rootIsCard(kernel.mounts))
  if (isOnCard) return warn('SWAP_ON_CARD', 'this machine swaps to its SD card, which builds wear out', 'sudo apt install zram-tools   (compressed memory instead), then sudo dphys-swapfile swapoff')
  if (rows.length === 0 && kernel.memoryBytes < SWAP_MEMORY_BYTES) return warn('NO_SWAP', 'less than 2 GiB of memory and no swap: a build may take the node with it', 'sudo apt install zram-tools, or fewer slots: elder-node config set slots 0')
  return ok(rows.length === 0 ? 'no swap, and memory enough' : `swaps to ${rows.join(', ')}`)
}

function rootIsCard (mounts: string | null): boolean {
  return (mounts ?? '').split('\n').some(line => /^\/dev\/mmcblk\S+ \/ /.test(line))
}

function clock ({ time }: Facts): Finding {
  if (time.synchronized === null) return skip(time.why)
  return time.synchronized ? ok('set by a time server') : warn('CLOCK_UNSET', 'no time server sets this clock: tickets expire early or late, and "last seen" lies', 'sudo timedatectl set-ntp true')
}
