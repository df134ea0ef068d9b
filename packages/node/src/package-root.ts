/** The folder of this package. This file stands one level below it in every form: in src, in dist, and in the bundle, which has one level. */
export const packageRoot: URL = new URL('../', import.meta.url)
