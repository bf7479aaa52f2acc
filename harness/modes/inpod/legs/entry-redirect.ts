import { netns } from '../../network.ts'
import { back, conntrack, flow, hop, socket, trace } from '../../path.ts'
import type { Entry } from '../releases.ts'
import { acceptProbe, PROBE_SNAT, PROXY_MARK, untouched } from '../rules.ts'

const redirectIn = {
  rule: '-A ISTIO_PRERT ! -d 127.0.0.1/32 -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006',
}

/** Release `today`: nat PREROUTING turns plaintext to 15006 (facts 1.2 nat ISTIO_PRERT, 1.6 REDIRECT); HBONE needs no rule. */
export const redirectEntry: Entry = {
  facts: '1.2',
  table: 'nat',
  hbone: (c, tunnel) => {
    const pod = netns(c.server)
    return [hop('is left to the HBONE listener', pod, trace(pod, 'syn', tunnel, 'nat PREROUTING', untouched, 0))]
  },
  plain: (c, { title, told }) => {
    const pod = netns(c.server)
    const arriving = flow(`${c.client.ip}:$client`, c.endpoint)
    return [
      hop('is turned to ztunnel', pod, trace(pod, 'syn', arriving, 'nat PREROUTING ISTIO_PRERT', redirectIn, 0)),
      hop(
        title,
        pod,
        conntrack(pod, arriving, flow(`${c.server.ip}:15006`, arriving.from), 0),
        socket(pod, `${c.server.ip}:15006`, arriving.from, PROXY_MARK),
        told,
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
  answered: () => [],
  overLo: () => [],
}
