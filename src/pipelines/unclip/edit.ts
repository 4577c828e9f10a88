import { ArgumentError } from '../../core/errors.ts'
import { slerp } from '../../diffusion/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import type { Progress, Releasable } from '../page.ts'
import type { WorkingImageEncoder } from '../parts/image-encoder.ts'
import type { Decoder, DecoderRun } from './decoder.ts'
import type { EditSettings } from './options.ts'
import { encodePrompts } from './texts.ts'

/** A picture's changes by way of its embedding (Ramesh et al. 2022, section 3). */
export interface Edit {
  /** Of the pictures to make: [num, D]. */
  readonly embeds: NdArray<'f32'>
  /** The noise that they start from, where it is a given picture's: [num, C, s, s]. */
  readonly starts: ((run: Omit<DecoderRun, 'embeds' | 'stage'>) => AsyncGenerator<Progress, NdArray<'f32'>, void>) | undefined
}

/** @throws ArgumentError for changes that contradict each other */
export function checkEdit({ interpolate, to, fromText, vary, eta }: EditSettings): void {
  if (interpolate && to !== undefined)
    throw new ArgumentError('interpolate and to: a picture goes to another or towards a text: give one')
  if (fromText !== undefined && to === undefined)
    throw new ArgumentError('from: a text to change the picture away from needs one in to')
  if (eta !== 0 && !interpolate && to === undefined && !vary)
    throw new ArgumentError("eta: it renews noise on the way from a picture's own: give vary, interpolate or to")
}

interface Parts {
  readonly decoder: Pick<Decoder, 'text' | 'invert'>
  readonly sees: WorkingImageEncoder
  readonly done: (part: Releasable) => Promise<void>
  readonly signal: AbortSignal | undefined
}

/** What a run changes: nothing, all that the embedding leaves open, towards another picture, or towards a text. */
export async function editOf(settings: EditSettings, { decoder, sees, signal }: Parts): Promise<Edit> {
  const { image, interpolate, to, fromText = '', amount, vary, num } = settings
  const own = await sees.embed(image)
  /** How far the k-th picture goes; one alone goes all the way of a text, and half of that to a picture. */
  const share = (k: number): number => (num === 1 ? (interpolate ? 0.5 : 1) : k / (num - 1))
  const onTheWay = (a: NdArray, b: NdArray, most: number) =>
    NdArray.concat(Array.from({ length: num }, (_, k) => slerp(a, b, share(k) * most).cast('f32')))
  const all = (one: NdArray<'f32'>) => one.expand([num, ...one.shape.slice(1)])
  if (interpolate) {
    const other = await sees.embed(interpolate)
    return {
      embeds: onTheWay(own, other, 1),
      async *starts({ generators, ...run }) {
        const [first] = generators
        const both = { ...run, embeds: NdArray.concat([own, other]), generators: [first as never, first as never], stage: 0 }
        const noise = yield* decoder.invert([image, interpolate], both)
        return onTheWay(noise.slice(0, 0, 1), noise.slice(0, 1, 2), 1)
      },
    }
  }
  const kept: Edit['starts'] = async function* ({ generators, ...run }) {
    const noise = yield* decoder.invert([image], { ...run, embeds: own, generators: generators.slice(0, 1), stage: 0 })
    return all(noise)
  }
  if (to !== undefined) {
    const texts = await encodePrompts(decoder.text, [fromText, to], signal)
    const [before, after] = texts.map(({ textEmbeds }) => textEmbeds) as [NdArray, NdArray]
    const difference = after.sub(before)
    const length = Math.sqrt(difference.square().sum().item())
    if (!(length > 0)) throw new ArgumentError('to: both texts have one embedding; they say nothing of a change')
    const reach = Math.sqrt(own.square().sum().item())
    return { embeds: onTheWay(own, difference.mul(reach / length), amount), starts: kept }
  }
  if (vary) return { embeds: all(own), starts: kept }
  return { embeds: all(own), starts: undefined }
}
