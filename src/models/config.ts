import { z } from 'zod'
import { LangevinError } from '../core/errors.ts'

export interface ConfigFault {
  /** The field, as `block_out_channels.1`; empty for the whole. */
  readonly field: string
  readonly message: string
}

/** A configuration that no network can be built from: every fault at once. */
export class ModelConfigError extends LangevinError {
  /** The file, or the class as upstream names it. */
  readonly place: string
  readonly faults: readonly ConfigFault[]

  constructor(place: string, faults: readonly ConfigFault[]) {
    super(
      [
        `${place}: the config cannot be followed`,
        ...faults.map(({ field, message }) => `  ${field || 'config'}: ${message}`),
      ].join('\n'),
    )
    this.place = place
    this.faults = faults
  }
}

/** What diffusers' EMA leaves in a config: the averaging's state, which says nothing about the network. */
const averaging = ['decay', 'inv_gamma', 'min_decay', 'optimization_step', 'power', 'update_after_step', 'use_ema_warmup']

/**
 * A network's config by its schema, from what `config.json` holds. Fields that begin with `_` and those of averaging are
 * left aside. Of other fields that the schema lacks, as a newer diffusers may add them, one that is switched off (null, false, 0, an
 * empty text or list) is told and left: the network is as before. Any other value would change it, and is a fault.
 *
 * @param model the class, as `_class_name` has it
 * @param place what errors call it
 * @throws ModelConfigError
 */
export function parseConfig<S extends z.ZodObject>(model: string, schema: S, value: unknown, place = model): z.infer<S> {
  const object = z.record(z.string(), z.unknown()).safeParse(value)
  if (!object.success) throw new ModelConfigError(place, [{ field: '', message: 'must be an object' }])
  const { _class_name: name, ...fields } = object.data
  const known = Object.keys(schema.shape)
  const own = Object.entries(fields).filter(([key]) => !key.startsWith('_') && !averaging.includes(key))
  const unknown = own.map(([key]) => key).filter((key) => !known.includes(key))
  // An empty list of blocks is another network, not a feature switched off.
  const off = unknown.filter((field) => isOff(fields[field]) && !/_block_types?$/.test(field))
  const faults: ConfigFault[] = unknown
    .filter((field) => !off.includes(field))
    .map((field) => ({ field, message: `unknown field; known fields: ${known.join(', ')}` }))
  if (name !== undefined && name !== model)
    faults.unshift({ field: '_class_name', message: `is ${JSON.stringify(name)}, expected "${model}"` })
  const parsed = schema.safeParse(Object.fromEntries(own.filter(([key]) => known.includes(key))))
  if (!parsed.success) faults.push(...parsed.error.issues.map(({ path, message }) => ({ field: path.join('.'), message })))
  if (faults.length > 0 || !parsed.success) throw new ModelConfigError(place, faults)
  if (off.length > 0)
    console.warn(`${place}: fields that ${model} here does not know are switched off and were left: ${off.join(', ')}`)
  return parsed.data
}

/** Whether a field that nobody here knows leaves the network as it was before there was such a field. */
const isOff = (value: unknown): boolean =>
  value === null ||
  value === false ||
  value === 0 ||
  value === '' ||
  (typeof value === 'object' && Object.keys(value).length === 0)

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * As `parseConfig`, for the models of transformers, which keeps in one object what a network is and how it is used: only the fields
 * of the schema are looked at, and null is the default.
 *
 * @throws ModelConfigError
 */
export function parseTransformersConfig<S extends z.ZodObject>(
  model: string,
  schema: S,
  value: unknown,
  place = model,
): z.infer<S> {
  if (!isObject(value)) throw new ModelConfigError(place, [{ field: '', message: 'must be an object' }])
  const known = Object.entries(value).filter(([key, field]) => key in schema.shape && field !== null)
  return parseConfig(model, schema, Object.fromEntries(known), place)
}
