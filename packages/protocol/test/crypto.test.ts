/** The keys that tests and simulators use. */
import { cheapCrypto, cheapSigner } from './support/cheap-crypto.ts'
import { cryptoAcceptance } from './support/crypto-acceptance.ts'
import { crypto, testSigner } from './support/crypto.ts'
import * as example from './examples/crypto.ts'

const signers = [example.newSigner(), example.newSigner(), example.newSigner()] as const

cryptoAcceptance('of tests', crypto, testSigner)
cryptoAcceptance('of simulators', cheapCrypto, n => cheapSigner(`signer ${n}`))
cryptoAcceptance('of the examples', example.crypto, n => signers[n] ?? signers[0])
