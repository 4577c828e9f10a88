import { z } from 'zod'
import { defineCommand, onInterrupt, printResult } from './command.ts'

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

export const pull = defineCommand({
  name: 'pull',
  summary: 'download models from the hub, and check them',
  description:
    "Downloads models into the cache that Python's huggingface_hub uses too, and checks every file against its checksum. An interrupted download continues where it stopped; files that are there already are checked, not downloaded again. A name is a bundled model's, or one on the hub: org/name, org/name@revision, org/name/file.safetensors.",
  positional: ['names'],
  options: z.object({
    names: z.array(z.string().min(1)).min(1).meta({ description: 'models' }),
    variant: z.string().optional().meta({ description: "which of a folder's weights, for example fp16" }),
    revision: z.string().optional().meta({ description: 'a branch, a tag or a commit' }),
    json: z.boolean().default(false).meta({ description: 'print one line of JSON' }),
  }),
  examples: [
    ['langevin pull ddpm-stickers-32', 'a bundled model that the package leaves out'],
    ['langevin pull org/name --variant fp16', 'a folder of the hub with its half-precision weights'],
    ['langevin pull org/name/model.safetensors', 'one file'],
  ],
  async run({ names, variant, revision, json }, io) {
    const [{ pullModel }, { bundledModels, modelFolder }, { checkZooModel, zooManifest, zooRepository }] = await Promise.all([
      import('../checkpoints/index.ts'),
      import('../pipelines/open/zoo.ts'),
      import('../pipelines/open/zoo-hub.ts'),
    ])
    const signal = onInterrupt()
    const models: { name: string; path: string; bytes: number; commit?: string }[] = []
    for (const name of names) {
      if (bundledModels().includes(name)) {
        io.err.write(`${name}: comes with this copy of langevin\n`)
        models.push({ name, path: modelFolder(name), bytes: 0 })
        continue
      }
      const ours = Object.hasOwn(zooManifest(), name)
      let shown = 0
      const { path, bytes, commit } = await pullModel(ours ? zooRepository(name) : name, {
        signal,
        variant,
        revision,
        onProgress: ({ file, done, total }) => {
          if (done < total && performance.now() - shown < 1000) return
          shown = performance.now()
          io.err.write(`${file}: ${megabytes(done)} of ${megabytes(total)}\n`)
        },
      })
      if (ours) await checkZooModel(name, path)
      models.push({ name, path, bytes, commit })
    }
    printResult(io, json, { models }, () => models.map(({ path }) => path).join('\n'))
  },
})
