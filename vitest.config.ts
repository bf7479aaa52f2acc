import { configDefaults, defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['{harness,clusters,images,reports,scripts}/**/*.test.ts'],
    exclude: [...configDefaults.exclude, '**/*.kind.test.ts'],
    setupFiles: ['scripts/property-seed.ts'],
    testTimeout: 20_000,
    // What is waited for comes; when, is the machine's business.
    expect: { poll: { timeout: 10_000 } },
    hookTimeout: 60_000,
  },
})
