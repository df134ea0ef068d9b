import { mirroredStack } from '../../src/mirror/index.ts'
import { createDevice } from '../support.ts'
import { mirroredStackAcceptance } from './mirrored-stack.ts'
import { TinyStack } from './support.ts'

mirroredStackAcceptance('a stack', async () => {
  const stack = await createDevice().open()
  return { stack: mirroredStack(stack), write: async title => { await stack.add({ kind: 'note', title }) } }
})

mirroredStackAcceptance('the small stack of tests', async () => {
  const stack = new TinyStack('demo')
  return { stack, write: async title => { stack.write(title) } }
})
