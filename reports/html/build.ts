import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'vite'
import { viteSingleFile } from 'vite-plugin-singlefile'

// Builds the app into one HTML file: node reports/html/build.ts FILE. A program of its own, so that a run can have it built while its cluster starts.
const [file] = process.argv.slice(2)
if (!file) throw new Error('usage: build.ts FILE')
const work = mkdtempSync(join(tmpdir(), 'everyhop-report-'))
try {
  await build({
    root: join(import.meta.dirname, 'app'),
    configFile: false,
    logLevel: 'warn',
    plugins: [viteSingleFile({ removeViteModuleLoader: true })],
    build: { outDir: work, emptyOutDir: true, target: 'es2022' },
    cacheDir: join(work, 'cache'),
  })
  // So that a reader never sees half of it.
  writeFileSync(`${file}.${process.pid}`, readFileSync(join(work, 'index.html')))
  renameSync(`${file}.${process.pid}`, file)
} finally {
  rmSync(work, { recursive: true, force: true })
}
