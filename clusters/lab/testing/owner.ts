import { mkdirSync } from 'node:fs'
import { parseTopology } from '../../topology.ts'
import { createLab } from '../lab.ts'

// A run for tests to kill: makes a lab, says so, and waits. Arguments: owner id, directory, topology.
const [id = '', directory = '', topology = ''] = process.argv.slice(2)
mkdirSync(directory, { recursive: true })
await createLab({ id, directory, topology: parseTopology(topology, 'test'), onProgress: (line) => console.log(line) })
console.log('up')
