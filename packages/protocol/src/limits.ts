/** Every bound of the wire and of the state, each with its reason. Bytes unless the name says otherwise. */
export const LIMITS = {
  /** One gossip message: a record that travels whole plus its envelope. cborg needs up to 100x the bytes in memory. */
  gossipBytesMax: 65_536,
  /** One request or reply on a long-lived stream: the largest record with its envelope. */
  frameBytesMax: 327_680,
  /** Arrays and maps inside each other in one value: more than any shape of ours has, far below what a decoder's stack can take. */
  nestingMax: 64,
  /** One chunk of a bulk stream: Noise and Yamux are fastest from 64 KiB up. */
  chunkBytesMax: 262_144,
  /** One record of a feed: a note of 200 KiB with its front matter. */
  recordBytesMax: 262_144,
  /** Records in one batch on the wire or in one mirror segment. */
  batchRecordsMax: 256,
  /** Bytes of one batch: must fit a frame with its envelope, except that a single record always fits. */
  batchBytesMax: 196_608,
  /** Heads of other feeds one record may name: more devices than a person owns. */
  depsMax: 64,
  /** Bare heads of one device in one stack: one, and one more for each life or fork that it has not met yet. */
  headsPerDeviceMax: 64,
  /** A removed stack stays on disks so long, milliseconds: a month is how late a mistake is noticed. */
  removedStackMs: 2_592_000_000,
  /** Stacks of one mesh in one exchange. */
  stacksMax: 10_000,
  /** Of those, how many may come from one other device: nobody makes so many that the rest can make none. */
  stacksPerDeviceMax: 2_000,
  /** Of those, how many are left for what this device makes itself. */
  stacksReserved: 500,
  /** Records of one device that wait for what they name: a joiner hears whole feeds one after the other. */
  waitingRecordsMax: 16_384,
  /** Bytes of those records: they are held in memory and on disk. */
  waitingBytesMax: 33_554_432,
  /** A live record up to this size is gossiped whole; a larger one as a head notice. */
  gossipRecordBytesMax: 16_384,
  /** Paths in one message of questions: more than the heads a stack usually has; the rest is asked next. */
  syncWantsMax: 256,
  /** Batches in one answer: a writer that signs every record fills a frame with about a thousand. */
  syncBatchesMax: 4096,
  /** Vector entries one exchange keeps, about 100 bytes each; what is beyond waits for the next exchange. */
  syncVectorEntriesMax: 131_072,
  /** Bytes of a page of stacks, vectors or origin records: leaves room for the envelope in a frame. */
  syncPageBytes: 262_144,
  /** The door: one hello before any protocol exists. 16 KiB is about 60 membership records. */
  doorBytesMax: 16_384,
  /**
   * Membership records one hello may carry: the member record and the chain of admins behind it, whole, because a joiner knows none of them.
   * Each time that the newest admin makes the next one it is one record longer, two when that one was invited as an admin.
   */
  proofRecordsMax: 48,
  /** One membership record: a revoke with its cuts is the largest. What does not fit one goes into a second. */
  memberRecordBytesMax: 4096,
  /** Stacks one revoke may cut: what fits a record when each has one head, about 55 bytes. */
  cutStacksMax: 64,
  /** Heads one revoke may name of one stack: as many as a vector keeps of one device. */
  cutHeadsMax: 64,
  /** Heads of the membership graph one record may name: concurrent admins, not devices. */
  memberPrevMax: 16,
  /** Membership records of live members that one roster may hold; removals come on top, within the bounds below. */
  rosterRecordsMax: 4096,
  // Ninety evictions in a mesh of 10,000 stacks, each with the 180 records of its cuts.
  /** Membership records that a device keeps, and that whoever reads a roster takes, removals included: the hashes of so many fit one frame. */
  rosterKeptMax: 16_384,
  /** Records of one issuer besides removals, and devices that it removes: an admin that invites a device a day for a year writes about 700. */
  recordsPerIssuerMax: 1024,
  /** Beyond those, promotions, tickets of admins and admissions of admins, so many of each: who may write nothing else still hands over. */
  adminsReserved: 16,
  /** Removals that one issuer writes of one subject: a revoke with the cuts of 10,000 stacks fills 180 records. */
  removalsPerSubjectMax: 256,
  /** Devices that an evicted admin shut out unseen by its evictor. These count until an admin says otherwise, so a stolen key gets few of them. */
  unseenRemovalsMax: 8,
  /** Leave records kept of one device: it needs one, and may write another after its disk was restored; every member can write them. */
  leavesPerDeviceMax: 4,
  /** An advert: gossiped by every device every few seconds. */
  advertBytesMax: 512,
  /** Rumours on one probe, about 70 bytes each: a few members change at a time, and a probe is sent every second. */
  rumoursMax: 8,
  /** An incarnation begins as milliseconds since 1970 and rises with each refutation. */
  incarnationMax: 281_474_976_710_655,
  /** A ticket as text: must survive a paste and a QR code. */
  ticketCharsMax: 2048,
  /** The address of a repository that a stack is of: as long as the address of a mirror may be. */
  originCharsMax: 400,
  /** Fields of one entry and characters of a title. */
  titleCharsMax: 512,
  tagsMax: 64,
  tagCharsMax: 64,
  /** Yjs V1 update in a text record: structs and deletes counted by our own scanner before Yjs sees a byte. */
  textStructsMax: 20_000,
  textDeletesMax: 20_000,
  clockMax: 1_099_511_627_776,
  /** Files of a mirror that a pass lists, about 300 bytes of memory each: ten thousand stacks of 25 files. */
  mirrorFilesMax: 250_000,
  /** Bytes of the local cache of one remote, history included: a host may send without end, and years of notes are far below. */
  mirrorBytesMax: 2_147_483_648,
  /** Problems that one pass over a mirror tells: whoever can push can make as many as it likes. */
  mirrorProblemsMax: 20,
  /** A build command: arguments and environment names. */
  commandArgsMax: 256,
  commandCharsMax: 65_536,
  envNamesMax: 64,
  /** Of a build's deadline: a JavaScript timer waits no longer (24.8 days); one above would fire at once. */
  deadlineMsMax: 2_147_483_647,
  /** Globs of outputs. */
  globsMax: 64,
  /** Of all globs of a build together, with every alternative in braces written out, and one more for each. */
  globCharsMax: 16_384,
  /** Outputs returned by one build. */
  outputFilesMax: 100_000,
  outputBytesMax: 2_147_483_648,
  pathCharsMax: 4096,
  /** Source pack sent for one build. */
  sourceBytesMax: 2_147_483_648,
  /** Log bytes kept and replayed per build: head and tail ring. */
  logBytesMax: 8_388_608,
} as const
