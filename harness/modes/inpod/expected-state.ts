/** What kernel state a release promises, with DNS capture. */
export interface ExpectedState {
  /** Rules in an enrolled pod: family → `TABLE CHAIN` → in order. Nothing else there may name an `ISTIO_` chain. */
  readonly rules: Readonly<Record<'ip' | 'ip6', Readonly<Record<string, readonly string[]>>>>
  /** Families that have the policy rule and its route. */
  readonly routed: readonly ('ip' | 'ip6')[]
  /** Annotations of a pod change its rules: it can opt out of DNS capture. */
  readonly podSettings: boolean
  /** Names of the node's sets; the first is IPv4's. */
  readonly sets: readonly string[]
}

const SETS = /^istio-inpod-probes/
/** Sets that any release may have made. */
export const isProbeSet = (name: string) => SETS.test(name)

// Release `today`. Goldens pod-iptables-save, pod-ip6tables-save, pod-ip-rule-route, pod-listen, node-host-rules-ipset; facts inpod-mode 1.2.
const mangle = {
  'mangle PREROUTING': ['-A PREROUTING -j ISTIO_PRERT'],
  'mangle OUTPUT': ['-A OUTPUT -j ISTIO_OUTPUT'],
  'mangle ISTIO_OUTPUT': [
    '-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff',
  ],
  'mangle ISTIO_PRERT': ['-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff'],
}
const raw = {
  'raw PREROUTING': ['-A PREROUTING -j ISTIO_PRERT'],
  'raw OUTPUT': ['-A OUTPUT -j ISTIO_OUTPUT'],
  'raw ISTIO_OUTPUT': ['-A ISTIO_OUTPUT -p udp -m mark --mark 0x539/0xfff -m udp --dport 53 -j CT --zone 1'],
  'raw ISTIO_PRERT': ['-A ISTIO_PRERT -p udp -m mark ! --mark 0x539/0xfff -m udp --sport 53 -j CT --zone 1'],
}
const nat = (loopback: string, probe: string) => ({
  'nat PREROUTING': ['-A PREROUTING -j ISTIO_PRERT'],
  'nat OUTPUT': ['-A OUTPUT -j ISTIO_OUTPUT'],
  'nat ISTIO_OUTPUT': [
    `-A ISTIO_OUTPUT -d ${probe} -p tcp -m tcp -j ACCEPT`,
    '-A ISTIO_OUTPUT ! -o lo -p udp -m mark ! --mark 0x539/0xfff -m udp --dport 53 -j REDIRECT --to-ports 15053',
    `-A ISTIO_OUTPUT ! -d ${loopback} -p tcp -m tcp --dport 53 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15053`,
    '-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT',
    `-A ISTIO_OUTPUT ! -d ${loopback} -o lo -j ACCEPT`,
    `-A ISTIO_OUTPUT ! -d ${loopback} -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001`,
  ],
  'nat ISTIO_PRERT': [
    `-A ISTIO_PRERT -s ${probe} -p tcp -m tcp -j ACCEPT`,
    `-A ISTIO_PRERT ! -d ${loopback} -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006`,
  ],
})

const loopback = '127.0.0.1/32'
const probe = '169.254.7.127/32'
// Release `1.21`, IPv4 only: facts inpod-mode 1.1.
const tproxy = (match: string, port: number) =>
  `-A ISTIO_PRERT ${match} -m mark ! --mark 0x539/0xfff -j TPROXY --on-port ${port} --on-ip 0.0.0.0 --tproxy-mark 0x111/0xfff`
const tproxyRules = {
  ...mangle,
  'mangle ISTIO_PRERT': [
    ...mangle['mangle ISTIO_PRERT'],
    `-A ISTIO_PRERT -s ${probe} -p tcp -m tcp -j ACCEPT`,
    `-A ISTIO_PRERT ! -d ${loopback} -i lo -p tcp -j ACCEPT`,
    tproxy('-p tcp -m tcp --dport 15008', 15008),
    '-A ISTIO_PRERT -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    tproxy(`! -d ${loopback} -p tcp`, 15006),
  ],
  'nat OUTPUT': ['-A OUTPUT -j ISTIO_OUTPUT'],
  'nat ISTIO_OUTPUT': [
    `-A ISTIO_OUTPUT -d ${probe} -p tcp -m tcp -j ACCEPT`,
    '-A ISTIO_OUTPUT ! -o lo -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053',
    '-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT',
    `-A ISTIO_OUTPUT ! -d ${loopback} -o lo -j ACCEPT`,
    `-A ISTIO_OUTPUT ! -d ${loopback} -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001`,
  ],
}

export const expectedStates: Readonly<Record<string, ExpectedState>> = {
  today: {
    rules: {
      ip: { ...mangle, ...raw, ...nat(loopback, probe) },
      ip6: { ...mangle, ...raw, ...nat('::1/128', 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128') },
    },
    routed: ['ip', 'ip6'],
    podSettings: true,
    sets: ['istio-inpod-probes-v4', 'istio-inpod-probes-v6'],
  },
  '1.21': { rules: { ip: tproxyRules, ip6: {} }, routed: ['ip'], podSettings: false, sets: ['istio-inpod-probes'] },
}
