import type { Fault, PatchSeed } from '../../fault.ts'
import { datagram, itself, overTcp } from './cases.ts'
import { edit, patched, sharedEdit } from './seeds.ts'

/** ztunnel listens, in each pod, to all that comes in over an IP protocol, and tells of each new flow. It takes nothing away: packets are as they were. */
const eavesdropping = (protocol: number, isNew: string): PatchSeed =>
  patched(
    edit(
      'inpod-placement.ts',
      '    target: originalTarget,\n',
      `    target: originalTarget,
    raw: () => inNetns(netns, () => lib.check('socket', lib.c.socket(lib.AF_INET, lib.SOCK_RAW | lib.SOCK_NONBLOCK, ${protocol}))),
`,
    ),
    edit(
      'proxy.ts',
      "import { DnsServer } from './dns/server.ts'\n",
      "import { DnsServer } from './dns/server.ts'\nimport { eavesdrop } from './eavesdrop.ts'\n",
    ),
    edit('proxy.ts', '      await proxy.#dns?.start()\n', '      await proxy.#dns?.start()\n      eavesdrop(serving.context)\n'),
    {
      file: 'ztunnel/eavesdrop.ts',
      find: '',
      replace: `import { c } from '../lib/libc.ts'
import { watchReadable } from '../lib/poll.ts'

export function eavesdrop({ placement, access }): void {
  const fd = placement.raw()
  const packet = Buffer.alloc(65_536)
  watchReadable(fd, () => {
    while (c.recv(fd, packet, packet.length, 0) > 0) {
      const transport = packet.subarray((packet[0] & 15) * 4)
      const end = (at: number, port: number) => ({ address: [...packet.subarray(at, at + 4)].join('.'), port: transport.readUInt16BE(port) })
      if (${isNew}) access.refused('inbound', end(12, 0), end(16, 2), 'overheard')
    }
  })
}
`,
    },
  )

/** Who learns of what, although nothing is carried otherwise than it should be. */
export const secrecyFaults: readonly Fault[] = [
  {
    id: 'datagrams-overheard',
    title: 'ztunnel listens to the datagrams that pass it by, and tells of them',
    seed: eavesdropping(17, 'true'),
    cases: [datagram],
    breaks: { case: datagram, hop: 'client-server/does-without-ztunnel' },
  },
  {
    id: 'calls-of-a-pod-to-itself-overheard',
    title: 'ztunnel listens to the connections that pass it by, and tells of them',
    // Of TCP the SYN alone.
    seed: eavesdropping(6, '(transport[13] & 0x12) === 2'),
    cases: [itself('pod-ip')],
    breaks: { case: itself('pod-ip'), hop: 'app-app/is-served' },
  },
  {
    id: 'tunnels-without-a-cipher',
    title: 'ztunnels prove who they are, and agree not to encrypt',
    seed: patched(
      sharedEdit(
        'mtls.ts',
        "    minVersion: 'TLSv1.3',\n    maxVersion: 'TLSv1.3',\n    ciphers,\n",
        "    minVersion: 'TLSv1.2',\n    maxVersion: 'TLSv1.2',\n    ciphers: 'ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0',\n",
      ),
    ),
    cases: [overTcp('bulk')],
    breaks: { case: overTcp('bulk'), hop: 'ztunnel-ztunnel/leaves-the-pod' },
  },
]
