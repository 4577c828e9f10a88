export interface LangevinProviderSettings {
  /** A server's, as `http://127.0.0.1:7860/v1`. Without one, models run in this process. */
  readonly baseURL?: string
  readonly apiKey?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly fetch?: typeof globalThis.fetch
  /** How models of this process are opened: options of `loadPipeline`. */
  readonly load?: Readonly<Record<string, unknown>>
}
