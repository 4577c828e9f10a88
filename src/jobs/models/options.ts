import { z } from 'zod'
import type { Page } from '../../pipelines/page.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { JobError } from '../errors.ts'

/** A picture in a job's options. `mask`: which of its parts are repainted, where it is a mask: those that are bright unless said otherwise. */
export const pictureRef = z.strictObject({
  file: z.string().regex(/^[0-9a-f]{64}$/, 'expected the id of a file'),
  mask: z.enum(['luminance', 'transparent', 'opaque', 'inverted']).optional(),
})
export type PictureRef = z.infer<typeof pictureRef>

export const isPictureRef = (value: unknown): value is PictureRef => pictureRef.safeParse(value).success

interface Property {
  readonly media?: 'picture' | 'map'
  readonly apart?: boolean
  [key: string]: unknown
}

const isTensor = (schema: z.core.$ZodType) =>
  (schema as z.core.$ZodType & { _zod: { def: { type: string } } })._zod.def.type === 'custom'

/**
 * A page's options as JSON has them: pictures are files of the store. What only programs give (tensors that are no pictures) is left out.
 */
export function optionsSchema(
  page: Page,
): { readonly type: 'object'; readonly properties: Record<string, Property> } & Record<string, unknown> {
  const schema = z.toJSONSchema(page.options, {
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      if (isTensor(zodSchema)) Object.assign(jsonSchema, { ...fileSchema })
    },
  }) as { properties?: Record<string, Property> }
  const properties = Object.fromEntries(
    Object.entries(schema.properties ?? {}).filter(([, property]) => !(property.apart && property['x-file'])),
  )
  return { ...schema, type: 'object', properties }
}

const fileSchema = {
  type: 'object',
  'x-file': true,
  properties: { file: { type: 'string', description: 'the id of a file, as an upload gives it' } },
  required: ['file'],
}

/** Stands for a picture that is not read yet. */
const placeholder = new NdArray(new Float32Array(3), [3, 1, 1], 'f32')

/**
 * Holds options against a page's schema before any picture is read.
 *
 * @throws JobError that names the first option at fault
 */
export function checkOptions(page: Page, options: Readonly<Record<string, unknown>>): void {
  const known = optionsSchema(page).properties
  for (const name of Object.keys(options))
    if (!Object.hasOwn(known, name))
      throw new JobError('invalid_options', `${name}: no option of this model; it takes ${Object.keys(known).join(', ')}`, {
        param: name,
      })
  const parsed = page.options.strict().safeParse(withPictures(options, () => placeholder))
  if (parsed.success) return
  const [issue] = parsed.error.issues
  const param = String(issue?.path[0] ?? '')
  const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new JobError('invalid_options', faults.join('; '), { param })
}

/** Options with each reference replaced by what `read` gives; `place` is where it stands. */
export function withPictures<T>(
  value: unknown,
  read: (ref: PictureRef, place: readonly string[]) => T,
  place: readonly string[] = [],
): unknown {
  if (isPictureRef(value)) return read(value, place)
  if (Array.isArray(value)) return value.map((one, i) => withPictures(one, read, [...place, String(i)]))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withPictures(one, read, [...place, key])]))
}

/** The files that options name. */
export function filesOf(options: unknown): string[] {
  const found: string[] = []
  withPictures(options, ({ file }) => found.push(file))
  return found
}
