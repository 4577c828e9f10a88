import type { Op } from '../graph.ts'
import { attention } from './attention.ts'
import { conv, convInputGrad, convWeightGrad } from './conv.ts'
import * as elementwise from './elementwise.ts'
import { matmul } from './matmul.ts'
import * as move from './move.ts'
import * as norm from './norm.ts'
import { avgPool, maxPool, upsample } from './pool.ts'
import * as reduce from './reduce.ts'

const { onnxType: _, ...elementwiseOps } = elementwise

/** Every operation, each with its shape rule, lowering and gradient: the whole language that networks are written in. */
export const operations: Readonly<Record<string, Op>> = {
  ...elementwiseOps,
  ...reduce,
  ...move,
  ...norm,
  matmul,
  conv,
  convInputGrad,
  convWeightGrad,
  avgPool,
  maxPool,
  upsample,
  attention,
}
