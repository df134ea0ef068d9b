import { replicaAcceptance, REPLICA_STACK } from './replica.ts'
import { keyOf, MapReplica } from './support.ts'

replicaAcceptance('of the tests of this package', async () => {
  const replica = new MapReplica()
  const key = keyOf(REPLICA_STACK)
  return {
    replica, key,
    give: async batches => { replica.apply({ type: 'apply', key, name: REPLICA_STACK, batches: [...batches] }) },
  }
})
