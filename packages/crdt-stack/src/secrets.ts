/** Text that looks like a credential is not replicated for ever: refused by name before it is written. */
import { ElderError } from '@elder-node/protocol'

const PATTERNS: ReadonlyArray<readonly [name: string, pattern: RegExp]> = [
  ['private key', /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----/],
  ['AWS access key', /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/],
  ['GitHub token', /\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b/],
  ['GitLab token', /\bglpat-[A-Za-z0-9_-]{20,64}\b/],
  ['npm token', /\bnpm_[A-Za-z0-9]{36}\b/],
  ['Slack token', /\bxox[abeoprs]-[A-Za-z0-9-]{10,250}\b/],
  ['Anthropic key', /\bsk-ant-[A-Za-z0-9_-]{20,250}\b/],
  ['OpenAI key', /\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,250}\b/],
  ['Google API key', /\bAIza[0-9A-Za-z_-]{35}\b/],
  ['Stripe key', /\b[rs]k_live_[0-9A-Za-z]{20,250}\b/],
  ['age secret key', /\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b/],
  ['JSON web token', /\beyJ[A-Za-z0-9_-]{10,4096}\.eyJ[A-Za-z0-9_-]{10,4096}\.[A-Za-z0-9_-]{20,4096}/],
  ['password in a URL', /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:/@]{1,128}:[^\s:/@]{6,256}@/],
]

/**
 * Text that was there before (`known`) may stay: an edit elsewhere must not be refused for it.
 *
 * @throws ElderError `SECRET` with the pattern's name.
 */
export function refuseSecrets (text: string, known = ''): void {
  for (const [name, pattern] of PATTERNS) {
    const found = pattern.exec(text)?.[0]
    if (found === undefined || known.includes(found)) continue
    throw new ElderError('SECRET', `the text looks like it holds a secret (${name}); a stack is replicated to every device and never forgets`,
      'Take the secret out and name where it is kept instead.', { pattern: name })
  }
}
