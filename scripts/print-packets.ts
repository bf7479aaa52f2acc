/** `print-packets FILE`: a capture as tab-separated fields on stdout, as `tshark -n -T fields -r FILE -e …` prints them. */
import { readFileSync, writeSync } from 'node:fs'
import { printPackets } from '../harness/evidence/parse/print.ts'

const file = process.argv[2]
if (!file) {
  console.error('usage: print-packets FILE.pcapng')
  process.exit(2)
}
printPackets(readFileSync(file), file, (chunk) => {
  for (let at = 0; at < chunk.length; ) at += writeSync(1, chunk, at)
})
