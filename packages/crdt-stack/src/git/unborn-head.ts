/**
 * isomorphic-git cannot fetch from a repository whose HEAD names a branch that is not there, as in one that holds nothing but a
 * mirror ("Could not find HEAD"): it wants to know a default branch, which a fetch of one named branch does not need. It takes
 * the server's word for it, so the word is added to the list of refs when the server says nothing (format: gitprotocol-pack(5)).
 */
import type { HttpClient } from 'isomorphic-git'
import { each, joined } from './http-client.ts'

export function withDefaultBranch (http: HttpClient, branch: string): HttpClient {
  return {
    async request (request) {
      const response = await http.request(request)
      if (request.method !== 'GET' || response.statusCode !== 200 || response.body === undefined) return response
      return { ...response, body: each([addSymref(await joined(response.body), branch)]) }
    },
  }
}

/** The first ref's line carries the capabilities after a zero byte; what precedes it are the service's name and a flush. */
function addSymref (advertised: Buffer, branch: string): Buffer {
  let at = 0
  for (let packets = 0; packets < 4 && at + 4 <= advertised.length; packets++) {
    const length = Number.parseInt(advertised.toString('latin1', at, at + 4), 16)
    if (Number.isNaN(length) || at + length > advertised.length) return advertised
    const line = advertised.toString('latin1', at + 4, at + Math.max(length, 4))
    if (line.includes('\0')) {
      if (line.includes(' symref=HEAD:')) return advertised
      const text = `${line.replace(/\n$/, '')} symref=HEAD:${branch}\n`
      const head = (text.length + 4).toString(16).padStart(4, '0')
      return Buffer.concat([advertised.subarray(0, at), Buffer.from(head + text, 'latin1'), advertised.subarray(at + length)])
    }
    at += Math.max(length, 4)
  }
  return advertised
}
