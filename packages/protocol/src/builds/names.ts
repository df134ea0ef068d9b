/** Names of files that mean something else than themselves on some system. Pure. */

/** Characters that HFS+ passes over when it compares names. */
const PASSED_OVER = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g
/** Windows opens a device under these, whatever follows the first dot. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])$/

/**
 * Is it git's own folder, under any name that some file system takes for it: `.GIT`, `.git.`, `.git `, `git~1`,
 * `.git::$INDEX_ALLOCATION`, or with characters that are passed over?
 */
export function isGitsOwn (name: string): boolean {
  const folded = trimmed((name.replace(PASSED_OVER, '').toLowerCase().split(':', 1)[0]) ?? '')
  return folded === '.git' || /^git~\d+$/.test(folded)
}

/**
 * A name of one file that every system writes as it stands: no drive or stream (`C:x`), no device, no dot or blank at
 * its end.
 */
export function isPlainName (name: string): boolean {
  if (name === '' || /[\0\\:/]/.test(name) || trimmed(name) !== name || isGitsOwn(name)) return false
  return !DEVICE.test(trimmed(name.toLowerCase().split('.', 1)[0] ?? ''))
}

/** Windows drops dots and blanks at the end of a name. `.` and `..` become nothing. */
function trimmed (name: string): string { return name.replace(/[. ]+$/, '') }
