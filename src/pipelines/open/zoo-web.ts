import { FolderError } from '../../checkpoints/errors.ts'
import { existsSync } from '../../runtime/system.ts'

/*
 * `zoo.ts` in a browser: no model comes with the program, each is fetched and mounted.
 */

export const bundledModels = (): string[] => []

/** @throws FolderError */
export function modelFolder(model: string): string {
  if (existsSync(model)) return model
  throw new FolderError(
    model,
    'no such folder was mounted; in a browser a bundled model is opened by the address where it is served, `open({ url })`',
  )
}
