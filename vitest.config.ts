import { defineConfig } from 'vitest/config'

const all = ['src/**/*.test.ts', 'tests/**/*.test.ts']
const slow = ['**/*.slow.test.ts']

/** `npm test` runs the quick tests, `npm run test:slow` (mode `slow`) those named `*.slow.test.ts`. */
export default defineConfig(({ mode }) => ({
  test: {
    pool: 'forks',
    ...(mode === 'slow' ? { include: slow, testTimeout: 600_000 } : { include: all, exclude: slow, testTimeout: 30_000 }),
    hookTimeout: 60_000,
    // Tests that load ONNX Runtime themselves leave no telemetry either.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    passWithNoTests: mode === 'slow',
  },
}))
