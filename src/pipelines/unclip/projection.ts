import { concat } from '../../core/functions.ts'
import { input } from '../../core/tensor.ts'
import { Params } from '../../nn/params.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { type CompileOptions, compile } from '../../runtime/program.ts'
import { Programs } from '../../runtime/programs.ts'
import { build } from '../open/classes.ts'
import type { OpenedNetwork } from '../open/network.ts'
import type { BatchEntry } from '../parts/denoiser.ts'
import { turns } from '../parts/turns.ts'
import type { EncodedPrompt } from './texts.ts'

/** Embeddings as the decoder's entries, a program for the prompt alone and one with the empty prompt before it. */
export function projection({ config, weights }: OpenedNetwork<'UnCLIPTextProjModel'>, options: CompileOptions) {
  const turn = turns()
  const programs = new Programs((key: string) => {
    const [count, tokens] = JSON.parse(key) as [number, number]
    const D = config.clip_embeddings_dim
    const { project, unconditional } = build('UnCLIPTextProjModel', new Params(), config)
    const embeds = input('embeds', [1, D])
    const images = count === 1 ? embeds : concat([unconditional, embeds], 0)
    const made = project(images, input('textEmbeds', [count, D]), input('states', [count, tokens, D]))
    return compile({ outputs: { ...made }, weights }, options)
  }, 1)
  return {
    entries: (embeds: NdArray<'f32'>, prompts: readonly EncodedPrompt[]) =>
      turn(async (): Promise<BatchEntry[]> => {
        const [textEmbeds, states] = [prompts.map((one) => one.textEmbeds), prompts.map((one) => one.context)].map((all) =>
          NdArray.concat(all),
        ) as [NdArray<'f32'>, NdArray<'f32'>]
        const program = await programs.get(JSON.stringify([prompts.length, states.shape[1]]))
        const { context, time } = (await program.run({ embeds, textEmbeds, states })) as Record<string, NdArray<'f32'>>
        const own = NdArray.full([1, config.clip_extra_context_tokens], 1)
        return prompts.map(({ contextMask }, i) => ({
          context: context?.slice(0, i, i + 1),
          classLabels: time?.slice(0, i, i + 1),
          contextMask: NdArray.concat([own, contextMask], 1),
        }))
      }),
    release: () => turn(() => programs.release()),
  }
}
