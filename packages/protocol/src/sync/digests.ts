/**
 * What two devices compare before they exchange anything: a hash tree of depth two over all stacks.
 *
 * bucket of a stack := first byte of sha256("elder/bucket/v1\0" key)
 * bucket digest     := sha256("elder/bucket/v1\0" (key digest)*)      by rising key; of an empty bucket: 32 zero bytes
 * root              := sha256("elder/root/v1\0" 256 bucket digests)
 *
 * `digest` of a stack is its vector digest, so equal roots mean equal feeds everywhere.
 */
import { utf8 } from '../codec/text.ts'
import type { Crypto } from '../crypto.ts'
import type { StackKey } from './keys.ts'

/** A stack and the digest of its vector (32 bytes). */
export interface StackSummary { key: StackKey, name: string, digest: Uint8Array }

export const BUCKETS = 256
/** Bytes of a bucket digest that travel: 4 KiB for all of them, and no accident makes two equal. */
export const BUCKET_BYTES = 16

const BUCKET = utf8('elder/bucket/v1\0')
const ROOT = utf8('elder/root/v1\0')

export function bucketOf (key: StackKey, crypto: Crypto): number {
  return crypto.sha256(BUCKET, utf8(key))[0] as number
}

/** The 256 buckets, each in rising key order. */
export function intoBuckets (stacks: readonly StackSummary[], crypto: Crypto): StackSummary[][] {
  const buckets: StackSummary[][] = Array.from({ length: BUCKETS }, () => [])
  const rising = [...stacks].sort((a, b) => a.key < b.key ? -1 : 1)
  for (const stack of rising) (buckets[bucketOf(stack.key, crypto)] as StackSummary[]).push(stack)
  return buckets
}

export function bucketDigest (bucket: readonly StackSummary[], crypto: Crypto): Uint8Array {
  if (bucket.length === 0) return new Uint8Array(32)
  return crypto.sha256(BUCKET, ...bucket.flatMap(stack => [utf8(stack.key), stack.digest]))
}

export function rootDigest (bucketDigests: readonly Uint8Array[], crypto: Crypto): Uint8Array {
  return crypto.sha256(ROOT, ...bucketDigests)
}

/** The bucket digests as they travel: 256 times the first {@link BUCKET_BYTES} bytes. */
export function packBuckets (bucketDigests: readonly Uint8Array[]): Uint8Array {
  const packed = new Uint8Array(BUCKETS * BUCKET_BYTES)
  bucketDigests.forEach((digest, i) => packed.set(digest.subarray(0, BUCKET_BYTES), i * BUCKET_BYTES))
  return packed
}

/** One bit per bucket, lowest bit first: which of the two packed lists differ. */
export function differingBuckets (ours: Uint8Array, theirs: Uint8Array): Uint8Array {
  const bitmap = new Uint8Array(BUCKETS / 8)
  ours.forEach((byte, i) => {
    const bucket = Math.floor(i / BUCKET_BYTES)
    if (byte !== theirs[i]) bitmap[bucket >> 3] = (bitmap[bucket >> 3] as number) | (1 << (bucket & 7))
  })
  return bitmap
}

export function inBitmap (bitmap: Uint8Array, bucket: number): boolean {
  return ((bitmap[bucket >> 3] as number) >> (bucket & 7) & 1) === 1
}
