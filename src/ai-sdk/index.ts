export { createLangevin, type LangevinProvider } from './provider.ts'
export type { LangevinProviderSettings } from './provider-settings.ts'
