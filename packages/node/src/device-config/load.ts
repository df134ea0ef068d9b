/** The one way by which a node's start reads what its owner set. */
import { dataDirAt, dataDirPath } from '../adapters/data-dir.ts'
import { readSettingsFile } from '../adapters/settings-file.ts'
import type { NodeInit } from '../config.ts'
import { withSettings } from './resolve.ts'

/** @throws ElderError `SETTING_VALUE`, `SETTINGS_DAMAGED`, `STORAGE` */
export function withOwnersSettings (given: NodeInit): NodeInit {
  return withSettings(given, process.env, readSettingsFile(dataDirAt(dataDirPath(given.dir)).settings))
}
