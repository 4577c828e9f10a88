/** Diffusion as numbers: processes, schedules, denoisers, samplers. Nothing here knows a network. */
export * from './betas.ts'
export * from './denoiser.ts'
export * from './gaussian.ts'
export * from './predictions.ts'
export * from './samplers/ddim.ts'
export * from './samplers/ddpm.ts'
export * from './schedulers/index.ts'
export * from './spacing.ts'
