export { type RrdbNetConfig, renameEsrgan, rrdbNetConfig, rrdbNetConfigOf, rrdbNetSchema } from './config.ts'
export { rrdbNet } from './network.ts'
