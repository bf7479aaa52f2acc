import { netns } from '../../network.ts'
import { back, conntrack, flow, hop, socket, trace } from '../../path.ts'
import type { Entry } from '../releases.ts'
import { acceptProbe, PROBE_SNAT, PROXY_MARK, REPLY_MARK } from '../rules.ts'

const tproxy = (match: string, port: number) => ({
  rule: `-A ISTIO_PRERT ${match} -m mark ! --mark 0x539/0xfff -j TPROXY --on-port ${port} --on-ip 0.0.0.0 --tproxy-mark 0x111/0xfff`,
})
const hboneIn = tproxy('-p tcp -m tcp --dport 15008', 15008)
const plainIn = tproxy('! -d 127.0.0.1/32 -p tcp', 15006)
const acceptEstablished = { rule: '-A ISTIO_PRERT -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT' }
const acceptOverLo = { rule: '-A ISTIO_PRERT ! -d 127.0.0.1/32 -i lo -p tcp -j ACCEPT' }
const walk = 'mangle PREROUTING ISTIO_PRERT'

/**
 * Release `1.21`: mangle PREROUTING gives packets to ztunnel's listeners as they are (facts 1.1, 1.6 TPROXY): no translation, so conntrack and the
 * listener's sockets know the connection by the addresses that the client used. The destination is the pod itself, so the local table decides
 * before the policy rule for the mark does: that rule is no part of this.
 */
export const tproxyEntry: Entry = {
  facts: '1.1',
  table: 'mangle',
  hbone: (c, tunnel) => {
    const pod = netns(c.server)
    return [
      hop(
        'is given to the HBONE listener',
        pod,
        trace(pod, 'syn', tunnel, walk, hboneIn, REPLY_MARK),
        // Before the rule for established connections, so each packet is.
        trace(pod, 'data', tunnel, walk, hboneIn, REPLY_MARK),
        conntrack(pod, tunnel, back(tunnel), 0),
      ),
    ]
  },
  plain: (c, { title, told }) => {
    const pod = netns(c.server)
    const arriving = flow(`${c.client.ip}:$client`, c.endpoint)
    return [
      hop('is turned to ztunnel', pod, trace(pod, 'syn', arriving, walk, plainIn, REPLY_MARK)),
      hop(
        title,
        pod,
        trace(pod, 'data', arriving, walk, acceptEstablished, 0),
        conntrack(pod, arriving, back(arriving), 0),
        socket(pod, arriving.to, arriving.from, PROXY_MARK),
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
        trace(pod, 'syn', probe, walk, acceptProbe, 0),
        trace(pod, 'data', probe, walk, acceptProbe, 0),
        conntrack(pod, probe, back(probe), 0),
      ),
    ]
  },
  answered: (pod, dialled) => [hop('is answered past the rules', pod, trace(pod, 'syn-ack', back(dialled), walk, acceptEstablished, 0))],
  overLo: (pod, which, f, mark) => [trace(pod, which, f, walk, acceptOverLo, mark)],
}
