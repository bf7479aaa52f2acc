import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatAddress, parseAuthority } from './address.ts'
import { illegalPorts } from './config.ts'
import { forwardedHost } from './headers.ts'
import { inboundTarget } from './target.ts'
import { mesh, smallMesh } from './testbed/mesh.ts'

// What a peer may put into a CONNECT.
const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.constantFrom('10.0.0.2', '10.0.0.7', '10.96.0.80', '127.0.0.1', '::1', '::ffff:10.0.0.2', '0.0.0.0', '255.255.255.255'),
)
const host = fc.oneof(
  address,
  address.map((a) => `[${a}]`),
  fc.domain(),
  fc.constantFrom('httpbin.demo.svc.cluster.local', 'HTTPBIN.demo.svc.cluster.local', 'waypoint.demo.svc.cluster.local'),
  fc.string({ maxLength: 20 }),
)
const port = fc.oneof(
  fc.nat(70_000).map(String),
  fc.constantFrom('15001', '15006', '15008', '080', '+80', '0x50', '', '-1'),
  fc.string({ maxLength: 6 }),
)
const authority = fc.oneof(
  fc.tuple(host, port).map(([h, p]) => `${h}:${p}`),
  fc.string({ unit: 'binary', maxLength: 300 }),
)

test('an address and a port are read back from what they are written as', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 1, max: 65_535 }), (ip, p) => {
      const read = parseAuthority(ip.includes(':') ? `[${ip}]:${p}` : `${ip}:${p}`)
      expect(read).toMatchObject({ port: p })
      expect(parseAuthority(formatAddress(read as { address: string; port: number }))).toEqual(read)
    }),
  )
})

test('an authority is an address, a hostname, or refused; its port is one', () => {
  fc.assert(
    fc.property(authority, (text) => {
      const read = parseAuthority(text)
      if (!read) return
      expect(read.port).toBeGreaterThan(0)
      expect(read.port).toBeLessThan(65_536)
      if (read.hostname !== undefined) expect(read.hostname).toMatch(/^[a-z0-9][a-z0-9._-]*$/)
    }),
    { numRuns: 2000 },
  )
})

test('whatever is asked, a connection goes to the address that was called and to none of ztunnel’s own ports, or gets 400 or 503', () => {
  const state = mesh(smallMesh)
  let let_in = 0
  fc.assert(
    fc.property(authority, fc.constantFrom('httpbin', 'waypoint', 'sleep'), (text, uid) => {
      const workload = state.workloads.get(uid)!
      const at = workload.workloadIps[0]!
      const target = inboundTarget(state, workload, at, text)
      if (target.error !== undefined) {
        expect([400, 503]).toContain(target.status)
        expect(target.error.length).toBeLessThan(2500)
        return
      }
      let_in++
      expect(target.to.address).toBe(at)
      expect(illegalPorts).not.toContain(target.to.port)
    }),
    { numRuns: 3000 },
  )
  expect(let_in).toBeGreaterThan(0)
})

test('a Forwarded header of any form is read in no time', () => {
  const element = fc.constantFrom('host=a', 'HOST="b c"', 'for="1.2.3.4:5"', 'host="', ';', ',', '  ', '"', '=', 'host=')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.array(element, { maxLength: 20 }).map((e) => e.join(';')),
      ),
      (header) => {
        const found = forwardedHost(header)
        if (found !== undefined) expect(header).toContain(found)
      },
    ),
    { numRuns: 2000 },
  )
  for (const long of [';'.repeat(60_000), `host="${'a'.repeat(60_000)}`, ' '.repeat(60_000), `${'host='.repeat(12_000)}`]) {
    const began = performance.now()
    forwardedHost(long)
    expect(performance.now() - began).toBeLessThan(1000)
  }
})
