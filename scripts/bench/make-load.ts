/**
 * `make-load UID LOAD SECONDS`: on a node, has a pod's sleep make a load (a LoadCommand as JSON) for so many seconds, and prints its end and how many requests were answered, as one line of JSON.
 * For measurements without a collector.
 */
import { relayEndOfLoad, relayLoad } from '../../harness/evidence/collect/relay.ts'
import type { LoadCommand } from '../../images/lib/load-protocol.ts'

const [, , uid = '', text = '', seconds = ''] = process.argv
if (!uid || !(Number(seconds) > 0)) {
  console.error('usage: make-load UID LOAD SECONDS')
  process.exit(2)
}
const load = JSON.parse(text) as LoadCommand
let answered = 0
const running = relayLoad(
  load,
  (answer) => {
    if (answer.ok) answered++
  },
  uid,
)
setTimeout(() => void relayEndOfLoad({ id: 'stop', stop: load.id }, uid), Number(seconds) * 1000)
console.log(JSON.stringify({ ...(await running), answered }))
