// Decodes pictures of strangers, to see that they are whole: in a process of its own, which a file that breaks the decoder ends alone.
import { blockOtherLoaders, decodePixels, ImageError, type ImageFault, readHeader } from '../../images/index.ts'

export interface ToDecoder {
  readonly id: number
  readonly bytes: Uint8Array
  readonly mime: string | undefined
  readonly name: string
  readonly maxBytes: number
}

/** What a picture is. */
export interface PictureFacts {
  readonly format: string
  readonly width: number
  readonly height: number
  readonly hasAlpha: boolean
}

export type FromDecoder =
  | { readonly id: number; readonly facts: PictureFacts }
  | { readonly id: number; readonly fault: ImageFault; readonly message: string }

blockOtherLoaders()
process.on('disconnect', () => process.exit(0))
process.on('SIGINT', () => {})
process.on('message', async ({ id, bytes, mime, name, maxBytes }: ToDecoder) => {
  const tell = (message: FromDecoder) => process.send?.(message)
  try {
    const options = { name, maxBytes, ...(mime !== undefined && { mime }) }
    const { format, width, height, hasAlpha } = await readHeader(bytes, options)
    await decodePixels(bytes, options)
    tell({ id, facts: { format, width, height, hasAlpha } })
  } catch (error) {
    const fault = error instanceof ImageError ? error.fault : 'broken'
    tell({ id, fault, message: error instanceof Error ? error.message : String(error) })
  }
})
