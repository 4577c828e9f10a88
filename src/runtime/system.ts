/*
 * What the library above asks of the system it runs on, beside the backend: files and their paths. In Node they are Node's.
 * Bundlers for browsers take `web/system.ts` in place of `node/system.ts`, by the field `browser` of package.json: files are then
 * what was mounted for this thread.
 */
export * from './node/system.ts'
