import type { LineChart } from '../../images/index.ts'
import type { ComparedModel, Comparison } from './compare.ts'
import type { Effort } from './provenance.ts'
import { interval } from './scene-tables.ts'
import { short, type Table, withError } from './tables.ts'

/** The ideas, by the types of recipes. */
const ideas: Readonly<Record<string, string>> = {
  'text-to-image': 'diffusion of latents, a U-Net (Rombach et al. 2022)',
  'rectified-flow': 'straight paths, a transformer of two streams (Esser et al. 2024)',
  dalle: 'image tokens after text tokens (Ramesh et al. 2021)',
  imagen: 'pixels from a frozen T5 (Saharia et al. 2022)',
  'unclip-decoder': "by way of a picture's embedding (Ramesh et al. 2022)",
  glide: 'pixels, guidance without a classifier (Nichol et al. 2022)',
}

/** What a model is, in words. */
export function ideaOf({ recipe, stages, candidates }: ComparedModel): string {
  const parts = [
    recipe === undefined ? '' : (ideas[recipe] ?? recipe),
    ...(stages > 1 ? [`a cascade of ${stages} stages (Ho et al. 2022)`] : []),
    ...(candidates > 1 ? [`the best of ${candidates} by CLIP`] : []),
  ]
  return parts.filter((part) => part !== '').join('; ')
}

/** Core hours of several models; undefined where one of them is not known. */
export const coreHours = (efforts: readonly Effort[]): number | undefined =>
  efforts.reduce<number | undefined>(
    (sum, { coreHours: own }) => (sum === undefined || own === undefined ? undefined : sum + own),
    0,
  )

const hoursText = (efforts: readonly Effort[]): string => {
  const hours = efforts.length === 0 ? undefined : coreHours(efforts)
  return hours === undefined ? '–' : hours.toFixed(1)
}

/** A row a model, below real pictures. */
export const comparisonTable = ({ captions, real, models }: Comparison): Table => [
  [
    `${captions} test captions`,
    'idea',
    'exact',
    'object',
    'precision',
    'Fréchet',
    'parameters',
    'core hours, own',
    'and of its parts',
    'seconds a picture',
    'pixels',
  ],
  [
    'real pictures',
    '',
    interval(real.rates.exact),
    interval(real.rates.object),
    interval(real.rates.precision),
    withError(real.frechet.distance, real.frechet.error),
    ...Array<string>(5).fill('–'),
  ],
  ...models.map((model) => [
    model.name,
    ideaOf(model),
    interval(model.rates.exact),
    interval(model.rates.object),
    interval(model.rates.precision),
    withError(model.frechet.distance, model.frechet.error),
    model.parameters === undefined ? '–' : `${(model.parameters / 1e6).toFixed(1)} M`,
    hoursText(model.own),
    hoursText(model.before),
    short(model.seconds),
    `${model.side}×${model.side}`,
  ]),
]

/** How many pictures are exact, against what a model took to train and against what a picture takes. */
export function comparisonCharts({
  captions,
  models,
}: Comparison): Readonly<Record<'training' | 'seconds', LineChart | undefined>> {
  const chart = (x: LineChart['x'], at: (model: ComparedModel) => number | undefined): LineChart | undefined => {
    const points = models.flatMap((model) => {
      const value = at(model)
      return value === undefined || value <= 0 ? [] : [{ name: model.name, x: value, y: 100 * model.rates.exact.share }]
    })
    if (points.length === 0) return undefined
    const most = Math.max(...points.map((one) => one.x))
    return {
      title: `Exact pictures of ${captions} captions`,
      subtitle: 'all that the caption says is there as often as it says, and nothing else',
      x: { ...x, min: 0, max: most * 1.1 },
      y: { name: 'exact', unit: '%', min: 0, max: 100 },
      series: points.map((one) => ({ name: one.name, markers: true, points: [[one.x, one.y] as const] })),
    }
  }
  return {
    training: chart({ name: 'training, its parts with it', unit: 'core hours' }, (model) =>
      coreHours([...model.own, ...model.before]),
    ),
    seconds: chart({ name: 'one picture', unit: 's' }, ({ seconds }) => seconds),
  }
}
