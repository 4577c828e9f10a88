/* onnxruntime-web is an optional peer: its parts have the interface of onnxruntime-common. */
declare module 'onnxruntime-web/wasm' {
  export { env, InferenceSession, Tensor } from 'onnxruntime-common'
}
declare module 'onnxruntime-web/webgpu' {
  export { env, InferenceSession, Tensor } from 'onnxruntime-common'
}
declare module 'onnxruntime-web/jspi' {
  export { env, InferenceSession, Tensor } from 'onnxruntime-common'
}
