import type { DescribedModel } from '../../jobs/models/catalogue.ts'
import { badRequest } from '../errors.ts'
import { seeded, takes } from '../submit.ts'
import type { ImageRequest, TextRequest } from './schemas.ts'

type Request = Partial<TextRequest & ImageRequest>

/** AUTOMATIC1111's fields in the words of the model's page. What the page lacks is an error where it is given. */
export function optionsOf(model: DescribedModel, request: Request): Record<string, unknown> {
  const known = takes(model)
  const options: Record<string, unknown> = {}
  const set = (param: string, name: string, value: unknown) => {
    if (value === undefined) return
    if (!known.has(name)) throw badRequest(param, `${param}: ${model.id} (${model.className}) takes no ${name}`)
    options[name] = value
  }
  const { prompt, negative_prompt: negative, seed, n_iter = 1, batch_size = 1, override_settings: own } = request
  if (known.has('prompt')) options.prompt = prompt
  else if (known.has('label') && prompt) options.label = [prompt]
  if (negative) set('negative_prompt', 'negative', negative)
  set('steps', 'steps', request.steps)
  set('cfg_scale', 'guidance', request.cfg_scale)
  set('width', 'width', request.width)
  set('height', 'height', request.height)
  set('eta', 'eta', request.eta)
  set('sampler_name', 'scheduler', samplerOf(request))
  if (n_iter * batch_size > 1) set('batch_size', 'num', n_iter * batch_size)
  if (seed !== undefined && seed >= 0) set('seed', 'seed', seed)
  // The web UI counts layers from 1: 1 leaves out none.
  if (own?.CLIP_stop_at_last_layers !== undefined && own.CLIP_stop_at_last_layers > 1)
    set('CLIP_stop_at_last_layers', 'clipSkip', own.CLIP_stop_at_last_layers - 1)
  if (request.enable_hr) {
    set('hr_scale', 'hires', request.hr_scale)
    if (request.hr_second_pass_steps) set('hr_second_pass_steps', 'hiresSteps', request.hr_second_pass_steps)
    set('denoising_strength', 'hiresStrength', request.denoising_strength)
  } else if (request.init_images) set('denoising_strength', 'strength', request.denoising_strength)
  if (request.init_images && known.has('resizeMode')) options.resizeMode = ['stretch', 'crop', 'fill'][request.resize_mode ?? 0]
  if (request.mask !== undefined) {
    set('inpainting_fill', 'fill', ['fill', 'original', 'noise', 'nothing'][request.inpainting_fill ?? 1])
    if (request.mask_blur !== undefined) set('mask_blur', 'maskBlur', Math.round(request.mask_blur))
    if (request.inpaint_full_res) set('inpaint_full_res_padding', 'maskPadding', request.inpaint_full_res_padding)
    // Outside of the mask the web UI gives the picture back as it was.
    if (known.has('paste')) options.paste = true
  }
  return seeded(model, options)
}

/** The sampler, with the schedule behind it as its older versions write it. */
function samplerOf({ sampler_name, sampler_index, scheduler }: Request): string | undefined {
  const name = sampler_name || sampler_index
  if (!name) return undefined
  return scheduler && !/^(automatic|uniform|normal)$/i.test(scheduler) && !name.toLowerCase().includes(scheduler.toLowerCase())
    ? `${name} ${scheduler}`
    : name
}
