import { type ImageModelV4CallOptions, type ImageModelV4File, InvalidArgumentError } from '@ai-sdk/provider'

/** A picture that a call gives. @throws InvalidArgumentError for an address, which is not fetched */
export function bytesOf(file: ImageModelV4File, argument: string): Uint8Array {
  if (file.type === 'url')
    throw new InvalidArgumentError({ argument, message: `${argument}: addresses are not fetched; give the picture itself` })
  return typeof file.data === 'string' ? Buffer.from(file.data.replace(/^data:[^,]*,/, ''), 'base64') : file.data
}

/** What of a call has no counterpart here. */
export const warningsOf = ({ aspectRatio }: Pick<ImageModelV4CallOptions, 'aspectRatio'>) =>
  aspectRatio === undefined ? [] : [{ type: 'unsupported' as const, feature: 'aspectRatio', details: 'give a size' }]
