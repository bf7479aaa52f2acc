import { nodePlatform } from './node-platform.ts'
import { run } from './run.ts'

process.exitCode = await run(nodePlatform)
