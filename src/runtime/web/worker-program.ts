import { ArgumentError } from '../../core/errors.ts'
import type { Program } from '../program.ts'

/** Node's programs in threads of their own: in a browser all batches of a step run one after another. */
export interface WorkerProgram extends Pick<Program, 'run' | 'release'> {}

export const WorkerProgram = {
  async compile(): Promise<WorkerProgram> {
    throw new ArgumentError('processes: 1 is all that a browser runs')
  },
}
