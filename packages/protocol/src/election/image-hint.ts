/** Images by one name, whatever engine lists them and however a build writes them. */

/** What a short name stands for in Docker and in Podman. */
const IMPLIED = /^(docker\.io\/(library\/)?|localhost\/|library\/)/

/** `node` and `docker.io/library/node:latest` are both `node:latest`; a digest stays. */
export function imageHint (reference: string): string {
  const name = reference.replace(IMPLIED, '')
  return /[:@][^/]*$/.test(name) ? name : `${name}:latest`
}
