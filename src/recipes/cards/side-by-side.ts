import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readJson } from '../../checkpoints/json.ts'
import { bundledModels, modelFolder } from '../../pipelines/index.ts'
import { duration } from '../../training/index.ts'
import type { TextToImageEvaluation } from '../evaluation/evaluate-scenes.ts'
import { interval } from '../evaluation/scene-tables.ts'
import { facts } from '../evaluation/scoring.ts'
import { inMarkdown } from '../evaluation/tables.ts'
import { inWords, whole } from './common.ts'
import { type RunFacts, readFacts } from './run.ts'

/** The bundled model that others are compared with. */
const PEER = 'stickers-t2i'

/** A model beside the bundled one on the same captions, with what each had to learn from; nothing where that is not there. */
export function besideSection(evaluation: TextToImageEvaluation, run: RunFacts): string {
  if (evaluation.model === PEER || !bundledModels().includes(PEER)) return ''
  const folder = modelFolder(PEER)
  const [file, facts] = [join(folder, 'evaluation.json'), readFacts(folder)]
  if (!existsSync(file) || !facts) return ''
  const peer = readJson(file) as unknown as TextToImageEvaluation
  if (peer.captions !== evaluation.captions || peer.judge !== evaluation.judge) return ''
  const columns = [
    { run, evaluation },
    { run: facts, evaluation: peer },
  ]
  return `Beside [${PEER}](../${PEER}), on the same captions, with the same ${evaluation.latentDeviation === undefined ? '' : 'autoencoder and '}judge:

${inMarkdown(sideBySide(columns))}

`
}

interface Column {
  readonly run: RunFacts
  readonly evaluation: TextToImageEvaluation
}

/** A row a fact, a column a model. */
export function sideBySide(columns: readonly Column[]): string[][] {
  const row = (name: string, of: (column: Column) => string): string[] => [name, ...columns.map(of)]
  const own = ({ model, scores }: TextToImageEvaluation) => scores.find(({ name }) => name === model)?.rates
  return [
    row(`${columns[0]?.evaluation.captions} test captions`, ({ evaluation }) => evaluation.model),
    ...facts.map((fact) =>
      row(fact, ({ evaluation }) => {
        const rate = own(evaluation)?.[fact]
        return rate ? interval(rate) : '–'
      }),
    ),
    row('parameters that learnt', ({ run }) => inWords(run.parameters)),
    row('pictures seen in training', ({ run }) =>
      whole(run.stretches.reduce((sum, { from, to, batch }) => sum + (to - from) * batch, 0)),
    ),
    row('time of its steps', ({ run }) => duration(run.seconds)),
    row('sampling steps, guidance', ({ evaluation }) => `${evaluation.steps}, ${evaluation.guidance}`),
  ]
}
