import { error, met, type Codes } from './codes.ts'

export const MEMORY: Codes = {
  STACK_NAMELESS: met('problem finding', 'The file with the name of a stack is missing or does not read; what was written into the stack is there.', 'Say its name: `elder-node stack show <name>`; another device that holds it says it, too.'),
  NO_SUCH_STACK: error('No stack of that name is on this device; perhaps it has not arrived yet.', '`elder-node stack list`; the first write makes a stack.'),
  NO_SUCH_ENTRY: error('No entry of the stack has an id that begins so, or too little of the id was given.', '`elder-node stack show <stack>` lists the ids.'),
  ENTRY_REMOVED: error('The entry was removed: an edit of it would be shown nowhere, so nothing was written.', 'Bring it back, then edit it: `elder-node stack rm <stack> <id> --undo`'),
  STALE_EDIT: error('Another device or agent wrote the text last, and the new one is not said to be made from it; or a field was changed since the base.', 'Read the entry, merge, and name what you read: `elder-node stack edit <stack> <id> --base <revision> --body -`; `--overwrite` replaces it.'),
  NO_SUCH_REVISION: error('This device holds no such revision of the entry; perhaps it has not arrived yet.', '`elder-node stack log <stack> --entry <id>` shows those that it holds.'),
  STACK_NAME: error('A stack is named with lower-case letters, digits, dot, dash and underscore, at most 64 characters.', 'Choose such a name, like `my-repo`.'),
  STACK_UNKNOWN: error('No stack was named, and the folder does not say which one is meant: no `.stack/stack.json`, no git origin.', 'Name it: `elder-node stack show my-repo`'),
  STACK_ORIGIN: error('The stack is of another git repository than the one that writes.', 'Give the repository its own stack: `elder-node stack add <stack> --kind note --title "…"`, or write `{"stack":"my-repo"}` into its `.stack/stack.json`.'),
  STACK_FILE: error('`.stack/stack.json` is there and names no stack, or is no plain file of a few lines.', 'Write `{"stack":"my-repo"}` into it.'),
  ENTRY_INVALID: error('The title, kind, tags or body of an entry is empty, too long or not valid text.', 'The message names the bound.'),
  AGENT_NAME: error('The name of an agent has 1 to 64 characters.', 'Give a shorter one with `--as` or ELDER_AGENT.'),
  TOO_LARGE: met('error peer', 'A text, a file or a message is larger than what takes it: one change of an entry holds 256 KiB.', 'Split it into several entries; large files belong into git.'),
  IMMUTABLE: error('The body of a message or of an artifact stands as it was written.', 'Add an entry that replaces it: `elder-node stack add --kind artifact --title "…" --supersedes <id>`'),
  SECRET: error('The text looks like it holds a password, token or key; a stack is copied to every device and never forgets.', 'Take the secret out, and write where it is kept instead.'),
  FORBIDDEN: met('error peer', 'The role of this device does not allow it: an observer reads, and neither writes nor builds.', 'An admin invites it again: `elder-node invite --role member`'),
  ARCHIVED: error('The stack is archived, or was restored from another mesh: it is read-only.', '`elder-node stack archive <stack> --undo`; of another mesh: write to a stack of another name.'),
  STACK_RETURNED: met('problem finding', 'A stack was removed, and something was written to it that the removal did not know, or somebody restored it from a remote: it is shown again.', '`elder-node stack rm --all-of <stack>` removes it again, with `--undo` it stays; `elder-node stack log <stack>` shows who wrote.'),
  READ_ONLY: error('The library was asked to write to a stack that was opened read-only.', 'Open it on a device that is admitted, without `readonly`.'),
  NOT_ARCHIVED: met('peer', 'Another device sent the membership records of a foreign mesh for a stack of this one. They were not taken.', 'Nothing is to be done here; the other device runs something else than elder-node, or has a fault.'),
  TOO_MANY_STACKS: error('The device holds as many stacks as a mesh can have, or has made as many as the other devices take of one.', 'Write to one that is there: `elder-node stack list`; or, of the second, make it on another device.'),
  STACKS_REFUSED: met('problem', 'A device made more stacks than the others take of one device, or this one has no room for more: some of its stacks are not kept here.', 'Write to fewer stacks there, or make them on another device; `elder-node stack remote add --all <git url>` keeps them meanwhile. A stack removed with `elder-node stack rm --all-of <stack>` makes room after 30 days.'),
  CLOSED: error('The stack, its store or the node was used after it was closed.', 'Open it again.'),
  FEED_DAMAGED: met(
    'problem finding',
    'Bytes in a file of the stack do not read: a bad checksum, or some are missing. They are kept as they are; all other records are shown.',
    'Look after the disk. Other devices and remotes send what is missing; then `elder-node stack verify`',
  ),
  FEED_GONE: met(
    'problem finding',
    'A log of the stack that was there at an earlier start is not there any more: it was deleted while the node was stopped, or the disk lost it.',
    'Other devices and remotes send what they hold. Else stop the node and bring the file back from a backup; when it is lost for good, delete the list that the message names.',
  ),
  FEED_FORKED: met(
    'problem finding',
    'A device wrote two histories of one feed: its disk went back in time, or its key is used twice. ' +
      'Both are kept and shown. `status` tells of it on the first 14 days that this node runs, and again when a ' +
      'further history comes; `stack verify` always does.',
    'If its disk was restored or copied, nothing is lost. If nobody did that, its key is known to somebody else: `elder-node evict <name>`',
  ),
  RECORD_VOID: met(
    'problem finding',
    'A record breaks a rule of the stack. It is kept and not shown; nor is what others built on it.',
    'Look after the device that the message names: its version, its disk, its owner.',
  ),
  HISTORIES_DROPPED: met(
    'problem finding',
    'A device has more histories that no other record names than are kept of one device (`headsPerDeviceMax`): its disk was restored over and over, or its key is used by others.',
    'If its disk was restored over and over, write a note on another device after each time: what a note names is kept. Else `elder-node evict <device>`',
  ),
  RECORD_SKIPPED: met(
    'problem finding',
    'A record is right, but changes an entry or a text that is not shown, so it is not shown either.',
    'It is kept: `elder-node stack log <stack> --entry <id>` lists what was written, and ' +
      '`elder-node stack show <stack> <id> --at <revision>` reads each earlier text. Write the paragraph again, and ' +
      'look after the device that the message names; it wrote what the record builds on.',
  ),
  STACK_NOT_RESTORED: met(
    'problem finding', 'One stack of a mirror did not come back; the message says why. The others did.', 'Restore from another remote too, or ask who can push to this one.',
  ),
  RECORDS_WAIT: met(
    'problem finding',
    'Records of a stack are here, and something that they lead to is not: a log was deleted, or its device is away. They are kept.',
    'Start the other devices, and read the remotes: `elder-node stack sync`. Else stop the node and bring the log back from a backup.',
  ),
  FEED_BROKEN: met('finding', 'A record on disk breaks the chain or its signature.', 'Move the file away and start again: other devices and the mirror send its records.'),
  FEED_SHORT: met('finding', 'The disk holds fewer records of a feed than were acknowledged.', 'Start the node again: other devices send the rest; then `elder-node stack verify`'),
  VIEW_DIFFERS: met('finding', 'Computed anew from the disk, the stack is not what the node shows: a fault of the program or of its memory.', 'Start the node again, which computes it anew; please report it.'),
  DEVICE_DIFFERS: met('finding', 'Another device is online and, after several exchanges, holds something else.', 'Run `elder-node stack verify` there too; it names what is wrong.'),
}

const LOOK = '`git ls-remote <url>` as the user of the node shows what git sees.'

export const MIRRORS: Codes = {
  NO_REMOTE: error('No remote is set for that stack, or for any.', '`elder-node stack remote add <stack> <git url>`, or `--all` for every stack.'),
  NO_SUCH_REMOTE: error('The stack has remotes, but not that one.', '`elder-node stack remote list`'),
  REMOTE_URL: error('The text is no address of a git repository, or a folder where every device would have to use it.', 'Give https://host/path, ssh://host/path, user@host:path, or an absolute path.'),
  REMOTE_MISSING: error('A folder was named as a remote, and there is no git repository in it.', 'Make one there with git init --bare; or name another.'),
  REMOTE_NEW: met('problem', 'Another device added a remote within the last day: what is written goes there from now on. Told once for each.', 'If you do not know it: `elder-node stack remote rm <stack> <url>`'),
  REMOTE_STOPPED: met('problem', 'A remote was added by a device that is evicted. It is not used until a member adds it again.', '`elder-node stack remote add <stack> <url>`, or `rm` to forget it.'),
  REMOTE_PATH: met('problem', 'Another device named a folder as a remote for all devices. It is not used: git would run in it with the rights of this device.', '`elder-node stack remote rm <stack> <url>`; a folder is added on the device that has it.'),
  REMOTE_CREDENTIALS: error('The address holds a user or password, and every device of the mesh would see it.', 'Leave them out, and give them to git on this device: `git credential approve`, an SSH key, or a line in `~/.git-credentials`.'),
  MIRROR_EMPTY: error('The repository can be read, and holds no mirror: no branch elder/memory.', 'Check the URL; on a device of the mesh: `elder-node stack remote list`'),
  MIRROR_UNVERIFIED: error('The mirror holds no stack, or no membership records, whose signatures hold. Nothing was taken.', 'Restore from another remote or device: `elder-node stack restore <url>`'),
  MIRROR_NEWER: met('error problem', 'The mirror was written by a newer version, in a format that this one does not know.', 'Update this device.'),
  MIRROR_OLDER: met(
    'error problem', 'The mirror was written by an older version, in a format that this one does not write or read. It is left as it is.',
    'Use an empty repository, or move the branch elder/memory there out of the way. To read it: the version that wrote it.',
  ),
  MIRROR_TOO_LARGE: met('error problem', 'The remote sends more, or names more files, than a mirror has: a host without an end, or another use of the branch. Nothing of it was kept.', 'Look who can push there. It is tried again by itself, less and less often; at once: `elder-node stack sync`'),
  MIRROR_FOREIGN: met('problem', 'The remote holds the mirror of another mesh; nothing is pushed there.', 'Use an empty repository, or take its stacks in: `elder-node stack restore <url>`'),
  MIRROR_SEGMENT: met('problem finding', 'A file on the remote does not verify and was skipped.', 'Nothing is lost: `elder-node stack sync` writes anew what this device holds. Look who can push to the remote.'),
  MIRROR_EDITED: met('problem', 'Somebody edited a file of the mirror on the host. The edit was kept beside it.', 'Bring the text into the stack: `elder-node stack edit <stack> <id> --body -`'),
  MIRROR_REWRITTEN: met('problem', 'The history of the remote was rewritten or cut.', 'Nothing local was changed. Look who may push with force; `elder-node stack verify` says what the remote lacks.'),
  GIT_MISSING: met('error finding', 'git is not installed: mirrors go over http and https alone.', 'Install git, or let another device of the mesh do the mirroring.'),
  GIT_URL: error('The address is none that git takes.', 'Use https://, ssh://, git@host:path, file:// or an absolute path.'),
  GIT_AUTH: met('error problem finding', 'The host refused the credentials of this device, or it has none.', `Give git on this device a credential for it. ${LOOK}`),
  GIT_FORBIDDEN: met('finding', 'The host knows the credential, which may not read the repository (403).', 'Give the token read and write on that repository.'),
  GIT_SSH_KEY: met('finding', 'The host takes no SSH key of this device.', 'Add its public key there: `cat ~/.ssh/id_ed25519.pub`; `ssh-keygen -t ed25519` makes one.'),
  GIT_HOST_KEY: met('finding', 'This device does not know the SSH key of the host, or another one than before.', `Look at it once: ${LOOK}`),
  GIT_HOST_UNKNOWN: met('finding', 'There is no such host, or no name service.', 'Check the address and this network.'),
  GIT_NOT_FOUND: met('finding', 'There is no such repository, or a private one that this device has no credential for.', 'Make it, or check the address.'),
  GIT_TLS: met('finding', 'The certificate of the host is not trusted here.', '`git config --global http.sslCAInfo <file>`, or GIT_SSL_CAINFO.'),
  GIT_TIMEOUT: met('finding', 'The host did not answer in time.', `Is it up, and reachable from here? ${LOOK}`),
  GIT_UNREACHABLE: met('error problem finding', 'Nobody answers at the address, or not as a git repository.', LOOK),
  GIT_REJECTED: met('error problem', 'The host declined the push: a protected branch, a hook, a quota.', 'Allow pushes to the branch elder/memory, or use another remote.'),
  GIT_CONTENDED: met('error problem', 'Other devices pushed in between, every time.', 'It is tried again by itself; at once: `elder-node stack sync`'),
  GIT_FAILED: met('error problem', 'git failed on this device, in the project or in the local copy of the mirror, which is a cache.', 'Is the disk full? `git fsck` in the project names what is broken there; the cache is made anew by itself.'),
  GIT_SERVER: error('`serveGit` of the library cannot have its port, or was given a name that no repository can have.', 'Choose another port, or 0; name it with letters, digits, dot and dash.'),
}
