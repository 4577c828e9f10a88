import { inMarkdown } from '../evaluation/tables.ts'
import { upscalerTables } from '../evaluation/upscaler-tables.ts'
import type { UpscalersEvaluation } from '../evaluation/upscalers.ts'
import type { Source } from '../tasks/upscaler/pairs.ts'
import { upscalerSchema } from '../tasks/upscaler/upscaler.ts'
import { frontMatter, inWords, trainingSection } from './common.ts'
import { megabytes, type SceneCard, sceneDataSection } from './scene-common.ts'

const sourceWords: Readonly<Record<Source, string>> = {
  bicubic: 'shrunk by a bicubic filter',
  degraded: "degraded by Real-ESRGAN's two rounds of blur, resizes, noise and JPEG",
  drawn: 'drawn small',
  autoencoder: 'drawn small and passed through the autoencoder of `stickers-t2i`',
}

const networkWords: Readonly<Record<string, string>> = {
  SwinIR: "A SwinIR (Liang et al. 2021), a transformer with attention in windows, with the published networks' keys.",
  RRDBNet: "An RRDBNet (Wang et al. 2021), Real-ESRGAN's convolutional network, with the published networks' keys.",
  SRVGGNetCompact: "An SRVGGNetCompact, Real-ESRGAN's small convolutional network, with the published networks' keys.",
}

/** The card of an upscaler. */
export function upscalerCard({ name, run, data, command, dir }: SceneCard, evaluation: UpscalersEvaluation): string {
  const { network, sources, adversarial, pretrained, resolution, scale, patch } = upscalerSchema.parse(run.recipe)
  const { _class_name: className, ...fields } = network
  const given = (Object.entries(sources) as [Source, number][]).filter(([, weight]) => weight > 0)
  const total = given.reduce((sum, [, weight]) => sum + weight, 0)
  const shares = given.map(([source, weight]) => `- ${sourceWords[source]}: ${Math.round((100 * weight) / total)} %`)
  const error = adversarial
    ? `Its error is the mean absolute one, a distance in a small classifier's layers and, against a U-Net discriminator, −ln D, ${adversarial.weight} times.`
    : 'Its error is the mean absolute one.'
  return `${frontMatter({ license: 'mit', tags: ['langevin', 'stickers', 'image-to-image', 'super-resolution'] })}

# ${name}

${networkWords[className]} It makes pictures of ${resolution} × ${resolution} pixels ${scale} times as large, and any other size as well. ${inWords(run.parameters)} \
parameters in training, ${megabytes(dir)} MB. Trained ${pretrained ? `from ${pretrained}` : 'from nothing'} in TypeScript by langevin. ${error}

![Small pictures enlarged by a bicubic filter, above what the network makes of them, above the real large ones: icons never seen](pictures/samples.png)

The network's fields: ${Object.entries(fields)
    .map(([key, value]) => `\`${key}\` ${JSON.stringify(value)}`)
    .join(', ')}.

## Data

${sceneDataSection(data)}

Large pictures are drawn from the icons' vectors at ${resolution * scale} × ${resolution * scale} pixels. Small ones are:

${shares.join('\n')}

A step sees parts of ${patch} × ${patch} small pixels, turned and mirrored at random.

${trainingSection(run, command)}

## Quality

On scenes of icons that no training run has seen, enlarged from ${resolution} × ${resolution} to ${evaluation.side} × ${evaluation.side}. PSNR and SSIM are of brightness, without a \
border of ${evaluation.scale} pixels. The spectrum's distance is that of mean power by frequency. The Fréchet distance is squared, of features of \`${evaluation.classifier}\`; it is \
not an FID. The seconds are this machine's while it measured.

${upscalerTables(evaluation)
  .map((table) => inMarkdown(table))
  .join('\n\n')}

To measure again: \`langevin evaluate ${name}\` (what it printed is in [evaluation.json](evaluation.json)).

## Limits

- It learnt flat artwork on plain backgrounds; photographs become smooth.
- It makes up what small pictures do not show.

## Licence

The weights: MIT, as langevin. The icons that they learnt from: as above.
`
}
