/** What every Crypto and every Signer must do: real ones, and cheap ones, in which a signature is a hash. */
import { describe, expect, test } from 'vitest'
import type { Crypto, Signer } from '../../src/crypto.ts'

/** `signer`: that of a device, the same for the same number. */
export function cryptoAcceptance (name: string, crypto: Crypto, signer: (n: number) => Signer): void {
  const message = Uint8Array.of(1, 2, 3)
  const flipped = (bytes: Uint8Array, at: number): Uint8Array =>
    Uint8Array.from(bytes).with(at, (bytes[at] as number) ^ 1)

  describe(`${name}: crypto`, () => {
    test('hashes all parts as one', () => {
      const hash = crypto.sha256(Buffer.from('a'), new Uint8Array(), Buffer.from('bc'))
      expect(Buffer.from(hash).toString('hex')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
      expect(crypto.sha256(Buffer.from('abc'))).toEqual(hash)
    })

    test('signs the same in the same way, and says yes to that alone: each byte of it counts', () => {
      const [one, two] = [signer(1), signer(2)]
      const signature = one.sign(message)
      expect([one.publicKey.length, signature.length]).toEqual([32, 64])
      expect(signer(1).sign(message)).toEqual(signature)
      expect(crypto.verify(one.publicKey, signature, message)).toBe(true)
      expect(crypto.verify(two.publicKey, signature, message)).toBe(false)
      expect(crypto.verify(one.publicKey, two.sign(message), message)).toBe(false)
      for (let at = 0; at < 64; at++) expect(crypto.verify(one.publicKey, flipped(signature, at), message)).toBe(false)
      for (let at = 0; at < 32; at++) expect(crypto.verify(flipped(one.publicKey, at), signature, message)).toBe(false)
      for (const other of [flipped(message, 2), new Uint8Array(), Uint8Array.of(...message, 0)]) {
        expect(crypto.verify(one.publicKey, signature, other)).toBe(false)
      }
    })

    test('says no to a key or a signature of another length, and never throws', () => {
      const { publicKey, sign } = signer(1)
      const signature = sign(message)
      const around = (bytes: Uint8Array): Uint8Array[] =>
        [new Uint8Array(), bytes.slice(0, -1), Uint8Array.of(...bytes, 0)]
      const keys = [...around(publicKey), new Uint8Array(32).fill(255)]
      for (const key of keys) expect(crypto.verify(key, signature, message)).toBe(false)
      for (const other of around(signature)) expect(crypto.verify(publicKey, other, message)).toBe(false)
    })
  })
}
