import { input } from '../../../core/tensor.ts'
import { type OpenAIDiscreteVAEConfig, openAIDiscreteVAE } from '../../../models/dvae/index.ts'
import { Params } from '../../../nn/params.ts'
import type { NdArray } from '../../../runtime/ndarray.ts'
import { evaluate } from '../../../runtime/program.ts'
import type { Generator } from '../../../runtime/random.ts'

const OUTPUT = 'enc.blocks.output.conv'

/**
 * Fresh values of a discrete autoencoder whose logits, code by code, have the mean 0 over pictures and the deviation √(2 ln K): as far
 * apart as those of K codes must be for few of them to have most of the probability (Derrida 1981, the random energy model). As OpenAI's
 * layers start, logits hardly differ from picture to picture: samples are noise then, and the first thing that training learns is to
 * always give one code. Scaled by data as in Salimans and Kingma 2016, section 3.
 *
 * @param images [B, 3, H, W] in [−1, 1]
 */
export async function scaledStart(
  config: OpenAIDiscreteVAEConfig,
  generator: Generator,
  images: NdArray<'f32'>,
): Promise<Map<string, NdArray>> {
  const params = new Params()
  const network = openAIDiscreteVAE(params, config)
  const { vocab_size: codes } = config
  const logits = network.encode(input('images', images.shape).add(1).div(2))
  const weights = params.initialise(generator)
  const mean = logits.mean([0, 2, 3], true)
  const outputs = { mean: mean.reshape([codes]), square: logits.sub(mean).square().mean([0, 2, 3]) }
  const found = (await evaluate({ outputs, weights }, { images })) as Record<keyof typeof outputs, NdArray<'f32'>>
  const factor = found.square.sqrt().map((deviation) => Math.sqrt(2 * Math.log(codes)) / Math.max(deviation, 1e-6))
  const [w, b] = [weights.get(`${OUTPUT}.w`), weights.get(`${OUTPUT}.b`)] as [NdArray, NdArray]
  weights.set(`${OUTPUT}.w`, w.mul(factor.reshape([codes, 1, 1, 1])))
  weights.set(`${OUTPUT}.b`, b.sub(found.mean).mul(factor))
  return weights
}
