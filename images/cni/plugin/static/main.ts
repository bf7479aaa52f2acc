import { exit } from 'system'
import { run } from '../run.ts'
import { staticPlatform } from './platform.ts'

exit(await run(staticPlatform))
