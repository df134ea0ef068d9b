/** Hashing and signing come from outside, so this package stays pure and runs in the simulator. All calls are synchronous. */
export interface Crypto {
  sha256 (...parts: Uint8Array[]): Uint8Array
  /** Ed25519. False for any malformed key or signature; never throws. */
  verify (publicKey: Uint8Array, signature: Uint8Array, message: Uint8Array): boolean
}

/** A key that can sign. The private half never leaves its implementation. */
export interface Signer {
  /** Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array
  /** Ed25519 signature, 64 bytes. */
  sign (message: Uint8Array): Uint8Array
}
