// WebAssembly's threads need a page that is isolated from others: these two headers, in development as where the page is served.
const headers = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }

export default {
  server: { headers },
  preview: { headers },
  // The worker loads ONNX Runtime when it is first needed, as a module.
  worker: { format: 'es' },
  // Their workers and .wasm files are found beside their scripts, which pre-bundling in development would move.
  optimizeDeps: { exclude: ['langevin', 'onnxruntime-web'] },
  build: { target: 'es2024' },
}
