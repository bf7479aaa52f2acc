import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pluginClaims } from '../testing/plugin-claims.ts'
import { eventIps } from './add.ts'

pluginClaims(() => [process.execPath, '--v8-pool-size=0', join(import.meta.dirname, 'main.ts')])

test('addresses of all shapes of results', () => {
  expect(eventIps(undefined)).toEqual([])
  expect(eventIps({ ip4: { ip: '10.0.0.5/20', gateway: '10.0.0.1' } })).toEqual([
    { Interface: null, Address: { IP: '10.0.0.5', Mask: Buffer.from([255, 255, 240, 0]).toString('base64') }, Gateway: '10.0.0.1' },
  ])
  expect(eventIps({ ips: [{ address: 'fd00::5/64' }] })[0]!.Address).toEqual({
    IP: 'fd00::5',
    Mask: Buffer.from([...Array(8).fill(255), ...Array(8).fill(0)]).toString('base64'),
  })
  expect(() => eventIps({ ips: [{ address: '10.0.0.5' }] })).toThrow(/expected an address such as/)
})
