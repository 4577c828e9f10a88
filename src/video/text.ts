import { ArgumentError } from '../core/errors.ts'

/** What an MP4 or a WebM says of how it was made: its comment, as `parameters`. @throws ArgumentError for another file */
export async function readFilmText(bytes: Uint8Array, place = 'film'): Promise<Map<string, string>> {
  const { BufferSource, Input, MP4, WEBM } = await import('mediabunny')
  const input = new Input({ source: new BufferSource(bytes), formats: [MP4, WEBM] })
  try {
    const { comment } = await input.getMetadataTags()
    return new Map(comment === undefined ? [] : [['parameters', comment]])
  } catch (cause) {
    throw new ArgumentError(`${place}: is no MP4 or WebM that can be read: ${(cause as Error).message}`, { cause })
  } finally {
    input.dispose()
  }
}
