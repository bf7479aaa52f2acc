import { defineConfig } from 'vitest/config'

// `npm run test:kind`: what needs real Kubernetes clusters in Docker. One file at a time: each may have the machine's Docker for itself.
export default defineConfig({
  test: {
    include: ['{harness,clusters,images}/**/*.kind.test.ts'],
    globalSetup: ['scripts/kind-set-up.ts'],
    setupFiles: ['scripts/property-seed.ts'],
    testTimeout: 120_000,
    hookTimeout: 600_000,
    fileParallelism: false,
  },
})
