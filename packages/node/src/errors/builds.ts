import { error, met, type Codes } from './codes.ts'

const IGNORE = 'List what a build does not need in `.gitignore`.'

export const BUILDS: Codes = {
  NO_CANDIDATE: met('error build', 'No device would take the build: none is online with a free slot that fits, or each refused. The message says why for every device.', '`elder-node status` shows slots; a device offers them with `elder-node config set slots 1`; `--wait 10m` waits for one.'),
  OFFLINE: met('build', 'The device that `--on` names is not online.', 'Wait for it with `--wait 10m`, or leave out `--on`; `elder-node status` shows who is online.'),
  BUILDER_LOST: met('build', 'The builder went away, or the connection to it broke, before the result; every attempt was used up so.', '`elder-node builds why <id>` shows each attempt; then run it again.'),
  BUILDER_FAILED: met('build', 'The builder met a fault outside of the command; the message is its own.', 'Build elsewhere: `--on <device>`; on the builder: `elder-node doctor`'),
  BUILD_LEFTOVERS: met('problem', 'Files or processes of builds on this device could not be removed, and are there still; the message names them and their user. Withdrawn when they are gone.', 'As root, end the processes and remove the files; the message has the command.'),
  POISON: met('build', 'The build failed on three builders in the same way: it is likelier the build than the builders.', 'Look at the log of the last attempt: `elder-node builds logs <id>`'),
  LEASE_GONE: met('build peer', 'The builder has ended this attempt, and nothing of it runs there any more: it was not heard from in time, or it restarted.', 'The build moves on by itself; else run it again.'),
  FORGED_RESULT: met('build', 'What came back is not signed by the builder for this lease, source and outputs. It was thrown away.', 'Run it again elsewhere: `--on <device>`. When it comes from one device again, look into that device.'),
  NODE_RESTARTED: met('build', 'The node of this device went down while its build ran, so the builder ended it within 22 s.', 'Run it again.'),
  DEADLINE: met('build', 'The time of `--deadline` was over; waiting, sending and preparing count too. Exit code 124.', 'Give it longer, or leave `--deadline` out.'),
  MEMORY_LIMIT: met('build', 'The command needed more memory than was asked for, or than the owner of the builder gives one build.', 'Ask for more with `--memory 4g`, build on a larger device with `--on <device>`, or let it do less at once (`make -j2`).'),
  PIDS_LIMIT: met('build', 'The command tried to run more processes and threads than a build may have.', 'Does it start itself again and again? Else let it do less at once.'),
  DISK_LIMIT: met('build', 'What the build wrote, temporary files included, took more than its limit or than the disk had to spare.', 'Let it write less, or build on a device with more disk: `--on <device>`; an owner raises it with `elder-node config set limits.disk 40g`'),
  CWD_INVALID: met('build', 'The folder that the command starts in is not in the tree that was sent.', 'Is it committed, or ignored by `.gitignore`? An empty folder does not travel.'),
  PREPARE_NETWORK: met('build', '`--prepare` needs the network, and the owner of that builder gives builds none.', 'Build on another device with `--on`, or commit what the command would fetch.'),
  OUTPUT_MISSING: met('build', '`--strict-outputs` was given, and a glob of `--out` matched no file.', 'Globs are relative to the root of the tree and match files: `--out "dist/**"`.'),
  OUTPUT_INVALID: met('build', 'An output cannot be taken or written as asked: too many or too large, a path that leaves the tree, a link, a file that changed while it was read.', 'Name fewer outputs, or pack them into one file; choose another folder with `--to`.'),
  OUTPUT_FOLDER: met('error build', 'The folder that outputs go to, or one in it, belongs to another user or can be written by others: they could redirect what is written there.', 'Run the node as its owner, take the right to write from others (`chmod go-w <folder>`), or choose a folder of your own with `--to`.'),
  OUTPUT_FAILED: met('build', 'The command ran, and its outputs could not be written here.', 'Look at the folder that `--to` names: space and rights.'),
  SOURCE_TOO_LARGE: met('error build', 'The source has more bytes, files or folders than a build may send, or unpacks to more than its builder has room for. Most often the folder is not the project, or holds downloads.', IGNORE),
  SOURCE_INVALID: met('error build', 'The source holds what no builder takes: a symlink that leaves the project, or a name that is no path; or its repository has a pipe or a device where git reads a file. The message names it.', 'Correct it, or list it in `.gitignore`; if git tracks it: `git rm --cached <path>`.'),
  SOURCE_UNSUPPORTED: met('build', 'Two names of the source differ in case alone, and the file system of that builder knows no such difference.', 'Build on another device with `--on <device>`, or rename one of them.'),
  SOURCE_BROKEN: met('build', 'The source did not arrive whole: the connection broke, or the pack is damaged.', 'The build is tried elsewhere by itself; else run it again. When it stays, `git fsck` in the project.'),
  RECIPE_INVALID: error('`.elder.json` is no JSON, or says something that a recipe cannot; the message names the line.', 'Correct that line.'),
  NOT_A_FOLDER: error('What shall be built is not a folder.', 'Give the folder of the project: `elder-node build . -- npm test`'),
  NO_SUCH_BUILD: error('No build that this device knows has an id that begins so; old ones are forgotten.', '`elder-node builds`'),
}

export const ENGINES: Codes = {
  NO_ENGINE: met('finding peer', 'Nothing on the device can run builds: no Docker, no Podman, no working sandbox.', 'Install Docker, Podman or bubblewrap, then `elder-node doctor`; without isolation: `elder-node config set engine process`'),
  ENGINE_UNAVAILABLE: met('error build finding', 'The engine that was chosen cannot run here; the message says why.', '`elder-node doctor` shows each engine with its fix; `elder-node config set engine auto` takes the best that works.'),
  ENGINE_FAILED: met('build error', 'The engine broke while it started or ran the build: its daemon, the limits, or more slots than it has users for.', 'On the builder: `elder-node doctor`; build elsewhere meanwhile: `--on <device>`'),
  PROCESS_ADMIN: met('error', 'The `process` engine as an ordinary user, on a device that may invite and evict: every build could do the same.', 'Use `--engine auto`; or trust every build: `elder-node join --engine process --trust-builds`; or `--slots 0`.'),
  PROCESS_RUNS: met('error', 'A build of the `process` engine runs as the user of this node, and could be the one that asks for invite, promote, evict or leave.', 'Repeat the command when `elder-node status` shows no build here.'),
  SEALED_UNSUPPORTED: met('build', '`--sealed` cuts the network off, and the engine `process` cannot.', 'Drop `--sealed`, or choose a builder with Docker, Podman or sandbox: `--on <device>`'),
  IMAGE_UNSUPPORTED: met('build', 'An image was named, and the engine of that builder runs none.', 'Choose a builder with Docker or Podman: `--on <device>`; or leave the image out.'),
  IMAGE_INVALID: met('error build', 'What stands for an image is not the name of one.', 'Write it as Docker does: `node:24`, `registry.example/owner/name:tag`.'),
  IMAGE_MISSING: met('build finding', 'The build names no image, and the builder has not made its default one yet.', 'On the builder: `elder-node image build`; or name one: `--image node:24`'),
  IMAGE_UNAVAILABLE: met('build', 'The builder cannot pull the image: a wrong name, no way to the registry, or a private one.', 'Check the name; a private image is pulled on the builder by its owner first.'),
  IMAGE_BUILD_FAILED: error('The default image could not be built; the last lines of its log say why.', 'Repeat, or take another base: `elder-node image build --base <image>`'),
}
