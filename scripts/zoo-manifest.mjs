// Part of `npm run build`: the checksums of the bundled models, which the package mostly leaves out and `langevin pull` brings.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const zoo = fileURLToPath(new URL('../zoo', import.meta.url))
const sums = (folder) =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => statSync(join(folder, file)).isFile() && /\.(safetensors|json|txt)$/.test(file))
      .filter((file) => file !== 'recipe.json' && file !== 'evaluation.json')
      .sort()
      .map((file) => [
        file.replaceAll('\\', '/'),
        createHash('sha256')
          .update(readFileSync(join(folder, file)))
          .digest('hex'),
      ]),
  )
const models = readdirSync(zoo).filter((name) => statSync(join(zoo, name)).isDirectory())
const manifest = Object.fromEntries(models.map((name) => [name, sums(join(zoo, name))]))
writeFileSync(fileURLToPath(new URL('../dist/zoo.json', import.meta.url)), `${JSON.stringify(manifest)}\n`)
