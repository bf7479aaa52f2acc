/**
 * `make-load UID LOAD`: on a node, has a pod's sleep make a load (a LoadCommand as JSON) until it is told to end. A line `count` on stdin is answered with how many requests have ended so far, a line `end`
 * with the load's end and the same numbers, as lines of JSON. For measurements without a collector.
 */
import { createInterface } from 'node:readline'
import { relayEndOfLoad, relayLoad } from '../../harness/evidence/collect/relay.ts'
import type { LoadCommand } from '../../images/lib/load-protocol.ts'

const [, , uid = '', text = ''] = process.argv
if (!uid) {
  console.error('usage: make-load UID LOAD')
  process.exit(2)
}
const load = JSON.parse(text) as LoadCommand
const ended = { answered: 0, failed: 0 }
const running = relayLoad(load, ({ ok }) => void ended[ok ? 'answered' : 'failed']++, uid)
const input = createInterface({ input: process.stdin })
const end = () => void relayEndOfLoad({ id: 'stop', stop: load.id }, uid)
input.on('line', (line) => (line === 'count' ? console.log(JSON.stringify(ended)) : end()))
// Whoever measures is gone.
input.on('close', end)
console.log(JSON.stringify({ ...(await running), ...ended }))
process.exit(0)
