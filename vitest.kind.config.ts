import { defineConfig } from 'vitest/config'

// `npm run test:kind`: what needs real Kubernetes clusters in Docker. One file at a time: each may have the machine's Docker for itself.
export default defineConfig({
  test: {
    include: ['{harness,clusters,images}/**/*.kind.test.ts'],
    // Skipped, they are still counted.
    ...(process.env.EVERYHOP_SKIP_KIND ? { testNamePattern: '(?!)' } : { globalSetup: ['scripts/kind-set-up.ts'] }),
    setupFiles: ['scripts/property-seed.ts'],
    // Only against hanging: a machine that does much else takes ten times as long.
    testTimeout: 600_000,
    hookTimeout: 900_000,
    fileParallelism: false,
  },
})
