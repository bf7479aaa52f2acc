import { configDefaults, defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['{harness,clusters,images,reports,scripts}/**/*.test.ts'],
    exclude: [...configDefaults.exclude, '**/*.kind.test.ts'],
    setupFiles: ['scripts/property-seed.ts'],
    // What is waited for comes; when, is the machine's business: time-outs guard against hanging.
    testTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    hookTimeout: 180_000,
  },
})
