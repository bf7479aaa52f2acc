import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { printedFields, printPackets } from './print.ts'

let folder: string
let capture: string

/** Traffic over lo of a namespace of its own: HTTP over IPv4 and IPv6, a refused connection, UDP with its ICMP error, big datagrams. The last datagram's text tells that all was captured. */
const traffic = `
ip link set lo up
: >"$1.log"
tshark -q -i lo -w "$1" >>"$1.log" 2>&1 &
shark=$!
trap 'kill -9 $shark 2>/dev/null' EXIT
until grep -q 'Capture started' "$1.log"; do sleep 0.05; kill -0 $shark || exit 1; done
${process.execPath} -e '
  const http = require("node:http"), dgram = require("node:dgram"), fs = require("node:fs"), { once } = require("node:events")
  const get = (port, host) => new Promise((r) => http.get({ port, host, agent: false }, (a) => a.resume().on("end", r)).on("error", r))
  const send = async (type, text, port, host) => { const s = dgram.createSocket(type); await new Promise((r) => s.send(text, port, host, r)); s.close() }
  ;(async () => {
    for (const host of ["127.0.0.1", "::1"]) {
      const server = http.createServer((_, answer) => answer.end("x".repeat(200000))).listen(0, host)
      await once(server, "listening")
      await get(server.address().port, host)
      await get(1, host)
      server.close()
    }
    await send("udp4", "marker-00001 and more", 9, "127.0.0.1")
    await send("udp4", Buffer.alloc(60000, 120), 9, "127.0.0.1")
    await send("udp6", Buffer.alloc(60000, 120), 9, "::1")
    while (!fs.readFileSync(process.argv[1]).includes("the end of it")) { await send("udp4", "the end of it", 9, "127.0.0.1"); await new Promise((r) => setTimeout(r, 50)) }
    process.kill(Number(process.argv[2]), "SIGINT")
  })()
' "$1" $shark && wait $shark
`

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'everyhop-tshark-'))
  capture = join(folder, 'lo.pcapng')
  const { status, stderr } = spawnSync('unshare', ['-n', 'bash', '-c', traffic, 'bash', capture], { encoding: 'utf8', timeout: 30_000 })
  expect(stderr).toBe('')
  expect(status).toBe(0)
}, 40_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the fields of a real capture are those that tshark reads', () => {
  const fields = printedFields.flatMap((field) => ['-e', field])
  // The last packets could still be on their way to the file when tshark was told to stop: it writes whole blocks all the same.
  const theirs = execFileSync('tshark', ['-n', '-r', capture, '-T', 'fields', ...fields], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1 << 26,
  })
  const ours: Buffer[] = []
  printPackets(readFileSync(capture), capture, (chunk) => ours.push(Buffer.from(chunk)))
  // tshark on lo records no direction and leaves that column empty; and it shows the addresses inside an ICMP error too.
  const comparable = (text: string) =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t').map((field, i) => (i === 2 ? '' : field.split(',')[0])))
  const isError = (line: (string | undefined)[]) => line[12] === '' && line[10] === '' && (line[5] !== '' || line[7] !== '')
  const rows = { ours: comparable(Buffer.concat(ours).toString()), theirs: comparable(theirs) }
  expect(rows.ours.length).toBeGreaterThan(40)
  expect(rows.ours.filter((line) => line[7] !== '').length).toBeGreaterThan(10)
  for (const [i, line] of rows.ours.entries()) {
    // Ports of the packet quoted in an ICMP error are tshark's, not the packet's.
    const their = isError(line) ? [...rows.theirs[i]!.slice(0, 9), ...line.slice(9)] : rows.theirs[i]
    expect(line).toEqual(their)
  }
  expect(rows.theirs.length).toBe(rows.ours.length)
})
