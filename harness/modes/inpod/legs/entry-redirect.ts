import { netns } from '../../network.ts'
import { back, conntrack, flow, hop, log, socket, trace } from '../../path.ts'
import type { Entry } from '../releases.ts'
import { acceptProbe, PROBE_SNAT, PROXY_MARK, untouched } from '../rules.ts'

const redirectIn = {
  rule: '-A ISTIO_PRERT ! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006',
}

/** Release `today`: nat PREROUTING turns plaintext to 15006 (facts 1.2 nat ISTIO_PRERT, 1.6 REDIRECT); HBONE needs no rule. */
export const redirectEntry: Entry = {
  facts: '1.2',
  hbone: (c) => {
    const pod = netns(c.server)
    const tunnel = flow(`${c.client.ip}:$hbone`, `${c.server.ip}:15008`)
    return [hop('is left to the HBONE listener', pod, trace(pod, 'syn', tunnel, 'nat PREROUTING', untouched, 0))]
  },
  plain: (c) => {
    const pod = netns(c.server)
    const arriving = flow(`${c.client.ip}:$client`, c.endpoint)
    const told = { 'src.addr': arriving.from, 'dst.addr': arriving.to, direction: 'inbound' }
    return [
      hop('is turned to ztunnel', pod, trace(pod, 'syn', arriving, 'nat PREROUTING ISTIO_PRERT', redirectIn, 0)),
      hop(
        'reaches ztunnel',
        pod,
        conntrack(pod, arriving, flow(`${c.server.ip}:15006`, arriving.from), 0),
        socket(pod, `${c.server.ip}:15006`, arriving.from, PROXY_MARK),
        log(pod, 'connection complete', told, ['error', 'src.identity', 'dst.identity', 'dst.hbone_addr']),
      ),
    ]
  },
  probe: (c) => {
    const pod = netns(c.server)
    const probe = flow(`${PROBE_SNAT}:$probe`, c.endpoint)
    return [
      hop(
        'passes by ztunnel',
        pod,
        trace(pod, 'syn', probe, 'nat PREROUTING ISTIO_PRERT', acceptProbe, 0),
        conntrack(pod, probe, back(probe), 0),
      ),
    ]
  },
  overLo: () => [],
}
