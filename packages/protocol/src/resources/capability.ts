/** Slow facts for the directory. "Free now" is never one: a stopped provider stays listed for a while. */

/** `builder/<platform>/<engine>`, as in `builder/linux/x64/docker`. */
export function builderCapability (platform: string, engine: string): string { return `builder/${platform}/${engine}` }

/** Every engine a builder may have, best isolated first: what a requester looks up. */
export const BUILDER_ENGINES: readonly ['docker', 'podman', 'sandbox', 'process'] = ['docker', 'podman', 'sandbox', 'process']
