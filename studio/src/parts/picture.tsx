import { addressOf } from '../api/jobs.ts'
import type { MadeFile } from '../api/types.ts'

/** Small pictures are shown as they are, pixel by pixel; a smooth enlargement would promise more than they hold. */
const SMALL = 200

interface Props {
  readonly file: MadeFile
  readonly alt: string
  readonly className?: string
}

/** A picture or a film that a job made. */
export function Picture({ file, alt, className }: Props) {
  const src = addressOf(file)
  if (file.type.startsWith('video/'))
    return <video className={className} src={src} aria-label={alt} controls loop muted playsInline />
  return (
    <img
      className={`${className ?? ''}${(file.width ?? SMALL) < SMALL ? ' pixelated' : ''}`}
      src={src}
      alt={alt}
      width={file.width}
      height={file.height}
      decoding="async"
      draggable={false}
    />
  )
}

/** What a screen reader says of a picture: the prompt it was made of. */
export const altOf = (prompt: unknown): string => (typeof prompt === 'string' && prompt ? prompt : 'a picture without a prompt')
