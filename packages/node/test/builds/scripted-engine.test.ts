/** The engine on which tests of builds stand keeps what they rely on. */
import { specOf } from '../engine/acceptance.ts'
import { runAcceptance } from '../ports/engine.ts'
import { echoScript, scriptedEngine, waitScript } from './farm.ts'

const wait = waitScript()

runAcceptance('scripted', async () => ({
  engine: scriptedEngine('process', (spec, end) => spec.command[0] === 'wait' ? wait(spec, end) : echoScript(spec)),
  short: tree => specOf(tree, ['echo']), long: tree => specOf(tree, ['wait']),
}))
