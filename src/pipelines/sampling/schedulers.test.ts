import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { schedulerClasses } from '../../diffusion/index.ts'
import { schedulerFor, schedulerNames } from './schedulers.ts'

const stored = { _class_name: 'PNDMScheduler', beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' }

test('every name is a class that is known', () => {
  expect(Object.values(schedulerNames).filter((name) => !schedulerClasses.includes(name))).toEqual([])
})

test('the guide lists every name', () => {
  const guide = readFileSync(new URL('../../../docs/stable-diffusion.md', import.meta.url), 'utf8')
  expect(guide.replaceAll(/\s+/g, ' ')).toContain(`${Object.keys(schedulerNames).join(', ')}, or any class`)
})

test('another scheduler keeps the noise schedule, and the correction of what was stored', () => {
  const of = (fields: object, name?: string) => schedulerFor('StableDiffusionPipeline', { ...stored, ...fields }, name).options
  expect(of({})).toMatchObject({ steps_offset: 1, beta_start: 0.00085 })
  expect(of({ steps_offset: 0 }, 'ddim')).toMatchObject({ steps_offset: 1, beta_end: 0.012 })
  // What the file leaves out is left to the other class.
  expect(of({}, 'ddim')).toMatchObject({ steps_offset: 0, clip_sample: true })
  expect(schedulerFor('StableDiffusionXLPipeline', stored).options).toMatchObject({ steps_offset: 0 })
})

test('an unknown scheduler is refused with the names that are known', () => {
  expect(() => schedulerFor('StableDiffusionPipeline', stored, 'eulr')).toThrow(/"eulr"; choose one of ddim, ddpm/)
})
