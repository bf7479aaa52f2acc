import { readdirSync, readFileSync } from 'node:fs'
import { inNetns } from '../../../images/lib/netns.ts'
import { dumpInterfaces } from './interfaces.ts'

const ipv4 = '/proc/sys/net/ipv4'

/** The IPv4 settings of a namespace and of its devices, a line each as `sysctl` names them, in their order. */
export function dumpSettings(netns: number): string {
  // What of /proc/sys/net one sees is that of the namespace one is in.
  return inNetns(netns, () => {
    const devices = readdirSync(`${ipv4}/conf`).sort()
    const files = ['ip_forward', ...devices.flatMap((dev) => readdirSync(`${ipv4}/conf/${dev}`).map((name) => `conf/${dev}/${name}`))]
    return files.map((file) => `net.ipv4.${file.replaceAll('/', '.')} = ${readFileSync(`${ipv4}/${file}`, 'utf8').trim()}\n`).join('')
  })
}

/** The devices of a namespace with their kinds and addresses, a line each. */
export function dumpLinks(netns: number): string {
  const words = dumpInterfaces(netns).map(({ index, dev, kind, mtu, mac, peerIndex, addresses }) =>
    [
      `${index}: ${dev}`,
      kind ?? '-',
      `mtu ${mtu}`,
      `mac ${mac}`,
      ...(peerIndex === undefined ? [] : [`peer ${peerIndex}`]),
      ...addresses.toSorted(),
    ].join(' '),
  )
  return words.map((line) => `${line}\n`).join('')
}
