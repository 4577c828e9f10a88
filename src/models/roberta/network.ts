import { attention, concat } from '../../core/functions.ts'
import * as core from '../../core/index.ts'
import { dims, range } from '../../core/shape.ts'
import { arange, type Tensor } from '../../core/tensor.ts'
import { type Layer, layerNorm, linear } from '../../nn/layers.ts'
import { normal, type Params, zerosInit } from '../../nn/params.ts'
import { labelsOfClassifier, type RobertaConfig } from './config.ts'

const init = normal(0.02)

export interface RobertaOptions {
  /** i64 [N]: where each token stands, from 0; 0, 1, … unless given. */
  readonly positions?: Tensor
  /** [1|B, 1, N, N], added to the scores. */
  readonly mask?: Tensor
}

export interface Roberta {
  /** Vectors of the vocabulary, [V, D]. */
  readonly table: Tensor
  /** tokens i64 [B, N] → [B, N, D]. */
  embed(tokens: Tensor): Tensor
  /** Vectors [B, N, D], of tokens or of what else → states [B, N, D]. */
  encode(vectors: Tensor, options?: RobertaOptions): Tensor
}

/** RoBERTa's encoder (Liu et al. 2019), under transformers' keys. */
export function roberta(p: Params, config: RobertaConfig): Roberta {
  const { vocab_size, hidden_size: width, num_hidden_layers, max_position_embeddings, type_vocab_size, layer_norm_eps } = config
  const at = p.at('embeddings')
  const table = at.at('word_embeddings').get('weight', [vocab_size, width], init)
  const positionTable = at.at('position_embeddings').get('weight', [max_position_embeddings, width], init)
  const types = at.at('token_type_embeddings').get('weight', [type_vocab_size, width], init)
  const norm = layerNorm(at.at('LayerNorm'), width, layer_norm_eps)
  const layers = range(num_hidden_layers).map((i) => robertaLayer(p.at('encoder', 'layer', i), config))
  return {
    table,
    embed: (tokens) => core.embedding(table, tokens),
    encode(vectors, { positions, mask } = {}) {
      const { N } = dims(vectors, 'B N D')
      const places = (positions ?? arange(N, 'i64')).add(config.pad_token_id + 1)
      const start = norm(vectors.add(types.slice(0, 0, 1)).add(core.embedding(positionTable, places)))
      return layers.reduce((x, layer) => layer(x, mask), start)
    },
  }
}

function robertaLayer(p: Params, config: RobertaConfig) {
  const { hidden_size: width, intermediate_size: inner, num_attention_heads: heads, layer_norm_eps: eps } = config
  const own = p.at('attention', 'self')
  const [toQ, toK, toV] = ['query', 'key', 'value'].map((name) => dense(own.at(name), width, width)) as [Layer, Layer, Layer]
  const toOut = dense(p.at('attention', 'output', 'dense'), width, width)
  const norm = layerNorm(p.at('attention', 'output', 'LayerNorm'), width, eps)
  const into = dense(p.at('intermediate', 'dense'), width, inner)
  const out = dense(p.at('output', 'dense'), inner, width)
  const endNorm = layerNorm(p.at('output', 'LayerNorm'), width, eps)
  return (x: Tensor, mask?: Tensor) => {
    const seen = attention(toQ(x), toK(x), toV(x), { heads, ...(mask && { mask, finite: true }) })
    const y = norm(x.add(toOut(seen)))
    return endNorm(y.add(out(into(y).gelu())))
  }
}

const dense = (p: Params, inputs: number, outputs: number): Layer => linear(p, inputs, outputs, { init, biasInit: zerosInit })

/** states [B, N, D] → logits [B, N, V]: the head of RobertaForMaskedLM, whose last matrix is the table of the vocabulary. */
export function robertaHead(p: Params, config: RobertaConfig, table: Tensor): Layer {
  const { hidden_size: width, vocab_size, layer_norm_eps } = config
  const first = dense(p.at('dense'), width, width)
  const norm = layerNorm(p.at('layer_norm'), width, layer_norm_eps)
  const bias = p.get('bias', [vocab_size], zerosInit)
  return (states) => core.linear(norm(first(states).gelu()), table, bias)
}

/**
 * RobertaForSequenceClassification: vectors [B, N, D] of tokens, or of shares of tokens times `table` → logits [B, classes], told from the
 * first token's state.
 */
export function robertaClassifier(p: Params, config: RobertaConfig) {
  const { hidden_size: width } = config
  const network = roberta(p.at('roberta'), config)
  const first = dense(p.at('classifier', 'dense'), width, width)
  const out = dense(p.at('classifier', 'out_proj'), width, labelsOfClassifier(config).length)
  return {
    ...network,
    classify(vectors: Tensor, options?: RobertaOptions): Tensor {
      const states = network.encode(vectors, options)
      return out(first(states.slice(1, 0, 1).reshape([vectors.shape[0] as number, width])).tanh())
    },
  }
}

export interface SsdLmInput {
  /** i64 [B, M]: what comes before. */
  readonly context: Tensor
  /** Noisy logits of the block, [B, N, V]. */
  readonly x: Tensor
  /** Shares of time, [B]. */
  readonly t: Tensor
}

/**
 * SSD-LM's network (Han et al. 2023, section 3.2): RoBERTa over the tokens before and over the block's noisy simplex, whose vectors are a
 * table's of its own, each with its share of time added → logits of the block, [B, N, V]. Beside RobertaForMaskedLM's keys there are
 * `embed_sum_layer` and `timestep_layer`, which the reference keeps in files of these names.
 */
export function ssdLm(p: Params, config: RobertaConfig) {
  const { hidden_size: width, vocab_size: V } = config
  const network = roberta(p.at('roberta'), config)
  const head = robertaHead(p.at('lm_head'), config, network.table)
  const mix = linear(p.at('embed_sum_layer'), V, width, { bias: false, init })
  const time = linear(p.at('timestep_layer'), 1, width)
  return ({ context, x, t }: SsdLmInput, options?: RobertaOptions): Tensor => {
    const { B, N } = dims(x, 'B N V')
    const block = mix(x.softmax(2)).add(time(t.reshape([B, 1, 1])))
    const M = context.shape[1] as number
    const states = network.encode(concat([network.embed(context), block], 1), options)
    return head(states.slice(1, M, M + N))
  }
}
