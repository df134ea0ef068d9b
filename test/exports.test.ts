/** The public surface: what each entry point gives at run time. A name comes or goes here on purpose, with its line in CHANGELOG.md. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const PACKAGES = ['protocol', 'crdt-stack', 'node']
const root = join(import.meta.dirname, '..')

function entryPoints (): string[] {
  return PACKAGES.flatMap(folder => {
    const { name, exports } = JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8')) as { name: string, exports: Record<string, object> }
    // What only the sources have is no entry point of the published package.
    return Object.entries(exports).filter(([, target]) => 'default' in target).map(([path]) => join(name, path))
  })
}

const words = (text: string): string[] => text.trim().split(/\s+/)

const SURFACE: Record<string, string[]> = {
  '@elder-node/protocol': words(`
    ADDRESS_CHARS_MAX ADVERT_TTL_MS AdvertTable AntiEntropy BUCKETS BUCKET_BYTES BUILDER_ENGINES BuildMachine CONTROL_LIMITS
    CONTROL_SCHEMA ClaimMachine Comparison Detector ElderError Entitlement History IMAGE_REF LEASE LEFT_OUT LIMITS MalformedError MembershipGraph OutputDecoder REFUSAL_CODES
    ROLES RTT_STALE_MS RTT_WINDOW RULES RttFilter SETTINGS_STACK STACK_NAME SlotMachine SyncSession TICK_MS UNABLE_CODES allows
    batchOf batchValue builderCapability checkNamed codeOf compareBytes compareFeeds conferred decode decodeAdvert decodeBuilderFrame decodeCanonical
    decodeProbe decodeProbeAnswer decodeRecord decodeRequestFrame decodeSync deviceId deviceKey deviceOfAddress encode encodeAdvert encodeFrame encodeOutputPart encodeProbe encodeProbeAnswer encodeRecord
    encodeSync entryId formatTraceparent nextSpan originOf outputGlobs parseTraceparent traceIdOf equalBytes feedDevice feedId feedIdOf feedKey formatRecovery formatTicket fromBase32 fromHex
    fromUtf8 genesisHash hasRole headOf headValue imageHint inputDigest isCount isDeviceName isEntryId isGitsOwn isHash isInsideTree isOutputPath isRefusalCode isSeq isRemoval keptOf
    lapsesAtMs liveOf liveValue manifestDigest memberRecordHash meshIdOf meshKey nextAt openMemberRecord parseClaimWord
    parseControlReply parseControlRequest parseRecovery parseSpec parseStackKey parseTicket peerIdOf placesOf proofOf rank readMemberRecord recordHash redeemMessage refusal resolveRoster risingPlaces score seenOf
    signHead signMemberRecord signRedemption signResult stackId stackIdOf stackKey stackNamesOf strayAnswer supportsOf surelyOverAtMs tieS toBase32 toDeviceName toHex utf8
    vectorDigest vectorOf vectorValue verifyBatch verifyHead verifyResult wallMsOf wantOf wantValue
  `),
  '@elder-node/crdt-stack': words(`
    MemoryFeedStore SEARCH_HITS_MAX Stack createMemory search unified
  `),
  '@elder-node/crdt-stack/fs': words(`
    FsFeedStore Handles
  `),
  '@elder-node/crdt-stack/mirror': words(`
    MirrorSync inspectMirror mirroredStack redact renderEntry renderStack restoreMirror
  `),
  '@elder-node/crdt-stack/git': words(`
    MIRROR_BRANCH checkRemote isPathRemote nativeGitWorks openIsomorphicGit openNativeGit redact runGit serveGit startGit
  `),
  '@elder-node/crdt-stack/acceptance': words(`
    feedStoreAcceptance gitMirrorAcceptance
  `),
  'elder-node': words(`
    VERSION createNode
  `),
}

describe('the public surface', () => {
  it('has these entry points', () => { expect(entryPoints().toSorted()).toEqual(Object.keys(SURFACE).toSorted()) })

  it.each(Object.entries(SURFACE))('%s exports what is intended', async (entry, names) => {
    expect(Object.keys(await import(entry) as object).toSorted()).toEqual(names.toSorted())
  })

  it('gives nobody a switch that turns a safety rule off', async () => {
    const { SlotMachine } = await import('@elder-node/protocol')
    const asked = { slots: 1, epoch: 1, rules: { sweepFirst: false } }
    // Before the sweep no slot is free, whatever the caller asks for.
    expect(new SlotMachine(asked).free).toBe(0)
    const { withRules } = await import('@elder-node/protocol/mutants')
    expect(new SlotMachine(withRules({ slots: 1, epoch: 1 }, { sweepFirst: false })).free).toBe(1)
  })
})
