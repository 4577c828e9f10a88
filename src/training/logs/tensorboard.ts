import { closeSync, mkdirSync, openSync, readdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import protobuf from 'protobufjs'
import { saving, writeAll } from '../../checkpoints/atomic.ts'
import { ArgumentError } from '../../core/errors.ts'

/** What TensorBoard's event.proto and summary.proto define and this log needs, by the field numbers there. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Event {
    double wall_time = 1;
    int64 step = 2;
    string file_version = 3;
    Summary summary = 5;
    SessionLog session_log = 7;
  }
  message SessionLog { int32 status = 1; }
  message Summary { repeated Value value = 1; }
  message Value {
    string tag = 1;
    oneof content {
      float simple_value = 2;
      Image image = 4;
      Tensor tensor = 8;
    }
    Metadata metadata = 9;
  }
  message Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded_image_string = 4; }
  message Metadata { Plugin plugin_data = 1; }
  message Plugin { string plugin_name = 1; }
  message Tensor { int32 dtype = 1; Shape tensor_shape = 2; repeated bytes string_val = 8; }
  message Shape { repeated Dim dim = 2; }
  message Dim { int64 size = 1; }
`)
const Event = root.lookupType('Event')

const sessionStart = 1
const rgb = 3
const dtString = 7

/** CRC-32C (Castagnoli), bit-reflected, polynomial 0x82f63b78: RFC 3720, appendix B.4. */
export function crc32c(bytes: Uint8Array): number {
  let crc = ~0
  for (const byte of bytes) crc = castagnoli[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

const castagnoli = Int32Array.from({ length: 256 }, (_, i) => {
  let crc = i
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

/** TFRecord masks its checksums: rotated right by 15, plus a constant, so that records may hold records. */
const masked = (bytes: Uint8Array) => {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

/** One TFRecord: length (u64), its checksum, the data, its checksum; little-endian. */
export function record(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 16)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(data.length), true)
  view.setUint32(8, masked(bytes.subarray(0, 8)), true)
  bytes.set(data, 12)
  view.setUint32(12 + data.length, masked(data), true)
  return bytes
}

/** A file of events that TensorBoard reads. Every event is in the file when its call returns. */
export interface TensorBoardLog {
  /** @param tag the curve's name; `train/loss` groups it under `train` */
  scalar(tag: string, value: number, step: number): void
  /** @param png an encoded PNG @throws ArgumentError where it is something else */
  image(tag: string, png: Uint8Array, step: number): void
  /** @param text Markdown */
  text(tag: string, text: string, step: number): void
  close(): void
}

/**
 * Opens a new event file in a folder, which TensorBoard shows as one run together with those already there.
 *
 * @param resumeStep the step that a resumed run continues from: TensorBoard then drops what an earlier file holds after it
 * @throws SaveError where the folder cannot be written
 */
export function tensorBoardLog(folder: string, { resumeStep }: { resumeStep?: number } = {}): TensorBoardLog {
  const fd = saving(folder, () => {
    mkdirSync(folder, { recursive: true })
    return openSync(join(folder, nextName(folder)), 'ax')
  })
  const add = (fields: object) => {
    const event = Event.encode(Event.fromObject({ wallTime: Date.now() / 1000, ...fields })).finish()
    saving(folder, () => writeAll(fd, record(event)))
  }
  const summary = (step: number, value: object) => add({ step, summary: { value: [value] } })

  add({ fileVersion: 'brain.Event:2' })
  if (resumeStep !== undefined) add({ step: resumeStep + 1, sessionLog: { status: sessionStart } })

  return {
    scalar: (tag, value, step) => summary(step, { tag, simpleValue: value }),
    image: (tag, png, step) => summary(step, { tag, image: { ...sizeOf(png), colorspace: rgb, encodedImageString: png } }),
    text: (tag, text, step) =>
      summary(step, {
        tag,
        tensor: { dtype: dtString, tensorShape: { dim: [{ size: 1 }] }, stringVal: [Buffer.from(text)] },
        metadata: { pluginData: { pluginName: 'text' } },
      }),
    close: () => closeSync(fd),
  }
}

/** A run's files are read in the order of their names, which start with their second: never one before an older file's. */
function nextName(folder: string): string {
  const times = readdirSync(folder).map((name) => Number(/^events\.out\.tfevents\.(\d+)\./.exec(name)?.[1] ?? 0))
  const time = Math.max(Math.floor(Date.now() / 1000), ...times.map((time) => time + 1))
  return `events.out.tfevents.${String(time).padStart(10, '0')}.${hostname()}.${process.pid}`
}

/** Width and height from a PNG's first chunk. */
function sizeOf(png: Uint8Array): { width: number; height: number } {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength)
  if (png.length < 24 || view.getUint32(0) !== 0x89504e47) {
    throw new ArgumentError('tensorBoardLog: expected the bytes of a PNG file; encode the picture first')
  }
  return { width: view.getUint32(16), height: view.getUint32(20) }
}
