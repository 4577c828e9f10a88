import { ArgumentError } from '../../core/errors.ts'
import type { Colour, Pixels } from '../../images/index.ts'
import { NdArray } from '../../runtime/ndarray.ts'
import { sceneNouns } from './nouns.ts'

/** An object of a layout: its icon's name, and left, top, right and bottom as fractions of the picture. */
export interface LayoutBox {
  readonly name: string
  readonly box: readonly [left: number, top: number, right: number, bottom: number]
}

const LEVELS = [0, 64, 128, 191, 255] as const

/** Colours of five levels a channel that stand out from black, in an order in which neighbours are far from each other. */
const palette: readonly Colour[] = (() => {
  const all = LEVELS.flatMap((r) => LEVELS.flatMap((g) => LEVELS.map((b): Colour => [r, g, b])))
  const bright = all.filter((colour) => Math.max(...colour) >= 128)
  // The stride has no divisor in common with their number, so that each comes once.
  return bright.map((_, i) => bright[(i * 71) % bright.length] as Colour)
})()

let numbers: ReadonlyMap<string, number> | undefined

/** The colour that stands for an icon in layouts. @throws ArgumentError for an icon that scenes do not show */
export function layoutColour(name: string): Colour {
  numbers ??= new Map(sceneNouns().map(({ icon }, i) => [icon.name, i]))
  const number = numbers.get(name)
  if (number === undefined) throw new ArgumentError(`layout: ${name} is no object of the scenes`)
  return palette[number] as Colour
}

/**
 * Where which object stands: filled boxes on black, levels [height, width, 3], each in its icon's colour within a line of black, which parts
 * it from its neighbours. Later boxes cover earlier ones.
 */
export function layoutMap(
  boxes: readonly LayoutBox[],
  { width, height }: { readonly width: number; readonly height: number },
): Pixels {
  const out = new Uint8Array(height * width * 3)
  for (const { name, box } of boxes) {
    const colour = layoutColour(name)
    const edge = (at: number, side: number) => Math.min(side, Math.max(0, Math.round(at * side)))
    const [left, right] = [edge(box[0], width), edge(box[2], width)]
    const [top, bottom] = [edge(box[1], height), edge(box[3], height)]
    for (let row = top; row < bottom; row++)
      for (let column = left; column < right; column++) {
        const line = row === top || row === bottom - 1 || column === left || column === right - 1
        out.set(line ? [0, 0, 0] : colour, (row * width + column) * 3)
      }
  }
  return new NdArray(out, [height, width, 3], 'u8')
}
