import { stackId, stackKey } from '@elder-node/protocol'
import { cheapCrypto, cheapSigner } from '../../protocol/test/support/cheap-crypto.ts'
import { replicaAcceptance, REPLICA_STACK } from '../../protocol/test/sync/replica.ts'
import { MemoryFeedStore, Stack } from '../src/index.ts'
import { random, replicaOf } from './support.ts'

replicaAcceptance('a stack', async () => {
  const id = stackId(REPLICA_STACK, cheapCrypto)
  const [store, signer] = [new MemoryFeedStore(), cheapSigner('reader')]
  const components = { store, signer, crypto: cheapCrypto, wallMs: () => 0, random }
  const stack = await Stack.open(components, { id, name: REPLICA_STACK })
  return { replica: replicaOf(stack), key: stackKey(id), give: async batches => { await stack.receive(batches) } }
})
