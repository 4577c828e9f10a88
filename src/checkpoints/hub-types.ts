import { LangevinError } from '../core/errors.ts'

/** A model that the hub does not give, or gives otherwise than it says. */
export class HubError extends LangevinError {
  readonly model: string

  constructor(model: string, reason: string, options?: ErrorOptions) {
    super(`${model}: ${reason}`, options)
    this.model = model
  }
}

/** How far a download is. */
export interface HubProgress {
  /** The file that is being fetched. */
  readonly file: string
  /** Its bytes that are here, and all of them. */
  readonly done: number
  readonly total: number
  /** Number of the file among those that this call brings, from 1, and their count. */
  readonly index: number
  readonly count: number
  /** Bytes of all those files that are here, and all of them. */
  readonly allDone: number
  readonly allTotal: number
}

export interface HubOptions {
  /** A branch, a tag, a commit, or `refs/pr/1`. */
  readonly revision?: string
  /** As in `diffusion_pytorch_model.fp16.safetensors`. */
  readonly variant?: string
  /** By default `HF_HUB_OFFLINE`: nothing is asked of the network. */
  readonly offline?: boolean
  /** By default `HF_TOKEN`, or the file that `huggingface-cli login` writes. */
  readonly token?: string
  /** By default `HF_ENDPOINT`, or https://huggingface.co. */
  readonly endpoint?: string
  /** By default Python's: `HF_HUB_CACHE`, `HF_HOME`/hub, or ~/.cache/huggingface/hub. */
  readonly cache?: string
  /** Stops the download; what has come stays, and the next call goes on from there. The call then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Called as bytes arrive. */
  readonly onProgress?: ((progress: HubProgress) => void) | undefined
}
