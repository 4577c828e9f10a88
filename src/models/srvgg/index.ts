export { type SrvggConfig, srvggConfig, srvggConfigOf, srvggSchema } from './config.ts'
export { srvggNet } from './network.ts'
