/** Draws this folder's pictures of the data: `node docs/pictures/make.ts`. */
import { join } from 'node:path'
import { stickerDataset, styles } from '../../src/data/index.ts'
import { imageGrid, imagesOf, savePng } from '../../src/images/index.ts'

const positions = Array.from({ length: 30 }, (_, i) => i)
const pictures = []
for (const style of styles) {
  const stickers = await stickerDataset({ size: 64, styles: [style], seed: 1 })
  pictures.push(...imagesOf((await stickers.batch(positions)).images))
}
await savePng(join(import.meta.dirname, 'stickers.png'), imageGrid(pictures, { columns: 15, gap: 3 }), { compressionLevel: 9 })
