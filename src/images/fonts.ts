import { createRequire } from 'node:module'
import { sharp } from './sharp.ts'

const require = createRequire(import.meta.url)
const files = ['400Regular/Inter_400Regular.ttf', '600SemiBold/Inter_600SemiBold.ttf']

/** The family that texts in SVG are drawn in: Inter, which comes with the package, for bare machines have no font at all. */
export const fontFamily = 'Inter'

let ready: Promise<void> | undefined

/** Makes Inter known to libvips. Its text operation adds a font file to the process, where the SVG renderer finds it too. */
export function loadFonts(): Promise<void> {
  ready ??= (async () => {
    for (const file of files) {
      const fontfile = require.resolve(`@expo-google-fonts/inter/${file}`)
      await sharp()({ text: { text: 'x', font: fontFamily, fontfile } })
        .raw()
        .toBuffer()
    }
  })()
  return ready
}
