import type { Table } from './tables.ts'
import type { UpscalersEvaluation } from './upscalers.ts'

/** A table for each set of pictures: a row a way to enlarge them. */
export const upscalerTables = ({ sets }: UpscalersEvaluation): Table[] =>
  sets.map(({ name, num, scores }) => [
    [`${num} × ${name}`, 'PSNR of Y, dB', 'SSIM of Y', 'spectrum, dB apart', 'Fréchet', 'seconds a picture'],
    ...scores.map(({ method, psnr, ssim, spectrum, frechet, seconds }) => [
      method,
      psnr.toFixed(2),
      ssim.toFixed(4),
      spectrum.toFixed(2),
      frechet?.toFixed(3) ?? '–',
      seconds.toFixed(3),
    ]),
  ])
