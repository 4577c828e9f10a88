import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

/** `npm run dev` beside a running `langevin serve` shows changes as they are made. */
export default defineConfig({
  base: '/studio/',
  plugins: [react()],
  // The policy of its pages admits no scripts and fonts but files.
  build: {
    chunkSizeWarningLimit: 800,
    assetsInlineLimit: 0,
    emptyOutDir: true,
    target: 'es2023',
    cssTarget: ['chrome123', 'firefox121', 'safari17.5'],
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/v1': 'http://127.0.0.1:7860', '/sdapi': 'http://127.0.0.1:7860' } },
})
