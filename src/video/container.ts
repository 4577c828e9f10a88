import type { EncodedPacket, OutputFormat, VideoCodec } from 'mediabunny'

/** An encoded film as packets, and what a player is told of them. */
export interface EncodedFilm {
  readonly codec: VideoCodec
  /** WebCodecs' `VideoDecoderConfig`. */
  readonly config: Readonly<Record<string, unknown>>
  readonly packets: AsyncIterable<EncodedPacket> | Iterable<EncodedPacket>
}

/** The colours of films here: sRGB's primaries and curve, luma and chroma by BT.601 in the limited range, as both encoders write them. */
export const colourSpace = { primaries: 'bt709', transfer: 'iec61966-2-1', matrix: 'smpte170m', fullRange: false } as const

/** Puts packets into a container, with a comment. The file's bytes; only what is encoded is in memory. */
export async function muxed(
  format: OutputFormat,
  { codec, config, packets }: EncodedFilm,
  { rate, comment }: { readonly rate: number; readonly comment: string | undefined },
): Promise<Uint8Array> {
  const { BufferTarget, EncodedVideoPacketSource, Output } = await import('mediabunny')
  const target = new BufferTarget()
  const output = new Output({ format, target })
  const source = new EncodedVideoPacketSource(codec)
  output.addVideoTrack(source, { frameRate: rate })
  if (comment !== undefined) output.setMetadataTags({ comment })
  await output.start()
  for await (const packet of packets) await source.add(packet, { decoderConfig: config as never })
  await output.finalize()
  return new Uint8Array(target.buffer as ArrayBuffer)
}
