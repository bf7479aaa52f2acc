import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Registry, stateDirectory } from '../../registry.ts'
import { loadTopology } from '../../topology.ts'
import { createKind } from '../kind.ts'

// Makes a cluster of kind and holds it until it is killed: node make.ts ID.
const [id = ''] = process.argv.slice(2)
const directory = join(stateDirectory(), 'files', id)
Registry.open(id).register({ kind: 'directory', path: directory })
mkdirSync(directory, { recursive: true })
await createKind({ id, topology: loadTopology('two-nodes'), directory })
setInterval(() => {}, 1 << 30)
