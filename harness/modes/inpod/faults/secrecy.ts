import type { Fault, PatchSeed } from '../../fault.ts'
import { datagram, itself, overTcp } from './cases.ts'
import { edit, patched, sharedEdit } from './seeds.ts'

/**
 * ztunnel listens, in each pod, to what its connection tracking tells of new flows of an IP protocol, for which it has the rights, and tells of each. It takes nothing away: packets are as they were.
 * Layout of the events: include/uapi/linux/netfilter/nfnetlink_conntrack.h, for IPv4.
 */
const eavesdropping = (protocol: number): PatchSeed =>
  patched(
    edit(
      'inpod-placement.ts',
      '    target: originalTarget,\n',
      `    target: originalTarget,
    events: () => inNetns(netns, () => lib.check('socket', lib.c.socket(16, lib.SOCK_RAW | lib.SOCK_NONBLOCK, 12))),
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
      replace: `import { c, check } from '../lib/libc.ts'
import { watchReadable } from '../lib/poll.ts'

export function eavesdrop({ placement, access }): void {
  const fd = placement.events()
  const newConnections = Buffer.from([16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
  check('bind', c.bind(fd, newConnections, newConnections.length))
  const event = Buffer.alloc(65_536)
  watchReadable(fd, () => {
    while (c.recv(fd, event, event.length, 0) > 0) {
      const end = (address: number, port: number) => ({ address: [...event.subarray(address, address + 4)].join('.'), port: event.readUInt16BE(port) })
      if (event[16] === 2 && event[52] === ${protocol}) access.refused('inbound', end(32, 60), end(40, 68), 'overheard')
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
    seed: eavesdropping(17),
    cases: [datagram],
    breaks: { case: datagram, hop: 'client-server/does-without-ztunnel' },
  },
  {
    id: 'calls-of-a-pod-to-itself-overheard',
    title: 'ztunnel listens to the connections that pass it by, and tells of them',
    seed: eavesdropping(6),
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
