/** Draws this folder's pictures of the data: `node docs/pictures/make.ts`. */
import { join } from 'node:path'
import { sceneDataset, stickerDataset, styles } from '../../src/data/index.ts'
import { imageGrid, imagesOf, resize, savePng } from '../../src/images/index.ts'

const positions = Array.from({ length: 30 }, (_, i) => i)
const pictures = []
for (const style of styles) {
  const stickers = await stickerDataset({ size: 64, styles: [style], seed: 1 })
  pictures.push(...imagesOf((await stickers.batch(positions)).images))
}
await savePng(join(import.meta.dirname, 'stickers.png'), imageGrid(pictures, { columns: 15, gap: 3 }), { compressionLevel: 9 })

const scenes = await sceneDataset({ size: 64, seed: 1 })
const { images } = await scenes.batch(Array.from({ length: 40 }, (_, i) => i))
const enlarged = resize(images, { width: 128, height: 128, kernel: 'box' })
await savePng(join(import.meta.dirname, 'scenes.png'), imageGrid(enlarged, { columns: 10, gap: 3 }), { compressionLevel: 9 })
