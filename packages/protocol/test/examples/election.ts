import assert from 'node:assert/strict'
import { rank, type DeviceId, type Prospect } from '@elder-node/protocol'

const idle = { bytesMissing: 0, bandwidthBytesPerS: 1e7, queueWaitS: 0, bootS: 0, runS: 30, speed: 1, success: 1, unusedMs: 0 }
const near: Prospect = { ...idle, device: 'near' as DeviceId, rttMs: 2 }
const far: Prospect = { ...idle, device: 'far' as DeviceId, rttMs: 40 }
const busy: Prospect = { ...near, device: 'busy' as DeviceId, queueWaitS: 20 }

const { order, why } = rank([far, busy, near], { recentBusy: false, explore: 0, random: () => 0 })
assert.deepEqual(order.map(({ device }) => device), ['near', 'far', 'busy'])
assert.match(why, /nearest of 2 within/)
