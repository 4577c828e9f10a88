import type { Weights } from '../../runtime/weights.ts'
import { ModelConfigError } from '../config.ts'

interface Widths {
  /** Of what CLIP's vision encoder gives. */
  readonly embedWidth: number
  /** Of the U-Net's context. */
  readonly contextWidth: number
}

/** An IP-Adapter, by how it makes tokens of a picture (Ye et al. 2023). */
export type IpAdapterConfig =
  | (Widths & { readonly kind: 'plain'; readonly tokens: number })
  | (Widths & { readonly kind: 'full' })
  | (Widths & {
      readonly kind: 'plus'
      readonly tokens: number
      readonly width: number
      readonly depth: number
      readonly heads: number
      readonly headDim: number
      /** Width inside the feed-forward parts. */
      readonly inner: number
    })

/** An adapter's file in its two halves, under the keys that the networks here ask for. */
export interface IpAdapter {
  readonly config: IpAdapterConfig
  /** Of `imagePromptProjection`. */
  readonly projection: Weights
  /** Keys and values for each attention to the context, in the order of the file. */
  readonly attention: readonly { readonly toK: Value; readonly toV: Value }[]
}

type Value = Weights extends ReadonlyMap<string, infer V> ? V : never

/** Width of a head in every published resampler; no file tells it. */
const headDim = 64

/**
 * An adapter in the published layout: `image_proj.…`, and `ip_adapter.1.to_k_ip.weight`, `ip_adapter.3.…`, as the attentions come.
 * Its kind and sizes follow from the shapes.
 *
 * @param place what errors call it
 * @throws ModelConfigError where it is no adapter of these kinds; those for the embedding of a face (FaceID) are not
 */
export function readIpAdapter(weights: Weights, place: string): IpAdapter {
  const projection = new Map<string, Value>()
  const numbered = new Map<number, Partial<Record<string, Value>>>()
  const unknown: string[] = []
  for (const [key, value] of weights) {
    const [, number, name] = /^ip_adapter\.(\d+)\.(to_k_ip|to_v_ip)\.weight$/.exec(key) ?? []
    if (key.startsWith('image_proj.')) projection.set(key.slice('image_proj.'.length), value)
    else if (number !== undefined && name !== undefined) {
      numbered.set(Number(number), { ...numbered.get(Number(number)), [name]: value })
    } else unknown.push(key)
  }
  const fault = (field: string, message: string) => new ModelConfigError(place, [{ field, message }])
  if (projection.size === 0) throw fault('', 'has no image_proj. keys: not an IP-Adapter')
  if (unknown[0] !== undefined) throw fault(unknown[0], 'has no place in an IP-Adapter (those of faces, FaceID, are not known)')
  const attention = [...numbered]
    .sort(([a], [b]) => a - b)
    .map(([number, { to_k_ip: toK, to_v_ip: toV }]) => {
      if (toK && toV) return { toK, toV }
      throw fault(`ip_adapter.${number}`, `has no ${toK ? 'to_v_ip' : 'to_k_ip'}`)
    })
  const config = configOf(projection)
  if (!config) throw fault('image_proj', 'is none of an adapter that is known: plain, plus or full face')
  return { config, projection, attention }
}

function configOf(projection: ReadonlyMap<string, { readonly shape: readonly number[] }>): IpAdapterConfig | undefined {
  const at = (key: string, axis: number) => projection.get(key)?.shape[axis] ?? 0
  const contextWidth = at('norm.weight', 0)
  if (projection.has('proj.weight') && contextWidth > 0) {
    return { kind: 'plain', embedWidth: at('proj.weight', 1), contextWidth, tokens: at('proj.weight', 0) / contextWidth }
  }
  if (projection.has('proj.3.weight'))
    return { kind: 'full', embedWidth: at('proj.0.weight', 1), contextWidth: at('proj.3.weight', 0) }
  if (!projection.has('latents') || !projection.has('layers.0.0.to_q.weight')) return undefined
  return {
    kind: 'plus',
    embedWidth: at('proj_in.weight', 1),
    contextWidth: at('proj_out.weight', 0),
    tokens: at('latents', 1),
    width: at('latents', 2),
    depth: new Set([...projection.keys()].flatMap((key) => /^layers\.(\d+)\./.exec(key)?.[1] ?? [])).size,
    heads: at('layers.0.0.to_q.weight', 0) / headDim,
    headDim,
    inner: at('layers.0.1.1.weight', 0),
  }
}

/**
 * The adapters' keys and values under the U-Net's names, for the attentions that its own keys tell.
 *
 * @param keys of the U-Net
 * @throws ModelConfigError where an adapter has not as many attentions
 */
export function imagePromptWeights(
  keys: Iterable<string>,
  adapters: readonly IpAdapter[],
  place = 'IP-Adapter',
): Map<string, Value> {
  const paths = [...keys].flatMap((key) => /^(.+\.attn2)\.to_k\.weight$/.exec(key)?.[1] ?? []).sort(inOrder)
  return new Map(
    adapters.flatMap(({ attention }, i) => {
      if (attention.length !== paths.length) {
        const message = `is for ${attention.length} attentions to the context; this U-Net has ${paths.length}`
        throw new ModelConfigError(place, [{ field: 'ip_adapter', message }])
      }
      return attention.flatMap(({ toK, toV }, j): [string, Value][] => [
        [`${paths[j]}.processor.to_k_ip.${i}.weight`, toK],
        [`${paths[j]}.processor.to_v_ip.${i}.weight`, toV],
      ])
    }),
  )
}

/** The way down, the way up, the middle: the order in which the reference's network lists its attentions. */
const stages = ['down_blocks', 'up_blocks', 'mid_block']

function inOrder(a: string, b: string): number {
  const place = (path: string) => [
    stages.indexOf(path.split('.')[0] as string),
    ...[...path.matchAll(/\.(\d+)/g)].map(([, n]) => Number(n)),
  ]
  const [left, right] = [place(a), place(b)]
  const at = left.findIndex((n, i) => n !== right[i])
  return at < 0 ? 0 : (left[at] as number) - (right[at] as number)
}
