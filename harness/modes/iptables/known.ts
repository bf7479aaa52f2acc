/** Something that upstream's users reported of this mode, or that was measured: the rows of facts geneve-mode 6.1 (by number) and 6.2 (M1 to M12). */
export interface Known {
  readonly row: string
  /** Issues and pull requests, as `istio#46163`; empty: none is known. */
  readonly reported: readonly string[]
  readonly what: string
  /** `mended`: it is otherwise here. `as reported`: it is so here too, and asserted. `unsupported`: cannot be shown on these nodes, for this reason. */
  readonly here: { readonly is: 'mended' | 'as reported'; readonly by: By } | { readonly is: 'unsupported'; readonly because: string }
}

/** A test: file from the repository's root, and its title or the beginning of that. */
export interface By {
  readonly file: string
  readonly test: string
}

const own = (test: string): By => ({ file: 'harness/modes/iptables/known.test.ts', test })
const node = (test: string): By => ({ file: 'images/cni/redirect/iptables/node.test.ts', test })
const agent = (test: string): By => ({ file: 'images/cni/agent/iptables-mode.test.ts', test })
const joining = (test: string): By => ({ file: 'images/cni/agent/node-proxy.test.ts', test })
const mended = (by: By) => ({ is: 'mended', by }) as const
const asReported = (by: By) => ({ is: 'as reported', by }) as const
const unsupported = (because: string) => ({ is: 'unsupported', because }) as const
const row = (name: string, reported: string, what: string, here: Known['here']): Known => ({
  row: name,
  reported: reported.split(' ').filter(Boolean),
  what,
  here,
})

const statesOfTheNode = node('a ztunnel, pods by agent and plugin, removal')
const noRoute = node('a pod before any ztunnel was ready, one with IPv6, one without a route of its own')
const stopped = agent('an agent that is stopped or killed leaves the capture')
const noPlugin = (name: string) => unsupported(`nodes with ${name} are not made here`)

/** Every row, with what becomes of it here. */
export const known: readonly Known[] = [
  row(
    '1',
    'ztunnel#642',
    'requests by LoadBalancer or NodePort that come to the pod’s own node hang',
    unsupported('the lab serves no node ports'),
  ),
  row('2', 'istio#43642', 'an upgrade of the agent removes the rules', mended(stopped)),
  row('3', 'istio#44276', 'a restarted agent does not find its pods again', mended(stopped)),
  row('4', 'istio#43601 istio#43641', 'an uninstall leaves rules', mended(agent('pods wait for a ztunnel, come with it'))),
  row('5', 'istio#43777', 'default routes of tables 101 and 102 are not flushed', mended(statesOfTheNode)),
  row('6', 'istio#46163 istio#47436 istio#46057', 'CNI plugins without a route for each pod', asReported(noRoute)),
  row('7', 'istio#46654', 'the agent crashes where pods have no veth device', mended(node('a ztunnel without a route of its own'))),
  row('8', 'istio#48072 istio#42341', 'OpenShift: no route for each pod', asReported(noRoute)),
  row('9', 'istio#45831', 'another tunnel has port 6081', mended(node('where the kubelet uses iptables-legacy'))),
  row('10', 'istio#40973 istio#44259', 'Calico drops what has a foreign source', noPlugin('Calico')),
  row('11', 'istio#44198', 'Cilium uses the same bits of the mark', noPlugin('Cilium')),
  row('12', 'istio#46354 ztunnel#621', 'IPVS: addresses of services are the node’s own', asReported(own('istio#46354, ztunnel#621'))),
  row('13', 'istio#41008', 'IPv4 only: a pod with an IPv6 address does not start', asReported(noRoute)),
  row(
    '14',
    'istio#44162',
    'a node without a pod CIDR',
    mended({ file: 'images/cni/agent/host-address.test.ts', test: 'the first address inside the pod CIDR' }),
  ),
  row('15', 'ztunnel#735', 'Calico: the gateway is 169.254.1.1', noPlugin('Calico')),
  row('16', 'istio#42571', 'flannel', noPlugin('flannel')),
  row('17', 'antrea#5682', 'what the mode takes for granted of the pod network', noPlugin('Antrea')),
  row(
    '18',
    'ztunnel#770 ztunnel#886',
    'pods of one identity share a tunnel: the server sees another client',
    mended(own('ztunnel#770, mended')),
  ),
  row('19', 'istio#46936', 'whatever the node’s address sends is skipped', mended(statesOfTheNode)),
  row('20', 'istio#45471', 'a service without endpoints is refused by kube-proxy', mended(own('istio#45471'))),
  row(
    '21',
    'istio#41097 istio#41124',
    'pods with the node’s network',
    mended({ file: 'images/cni/shared/eligibility.test.ts', test: 'hostNetwork' }),
  ),
  row('22', 'istio#45393', 'pods with a sidecar', mended({ file: 'images/cni/shared/eligibility.test.ts', test: 'a sidecar' })),
  row(
    '23',
    'istio#44530 istio#43238 istio#43239',
    'from outside the mesh by way of a waypoint: a wrong identity',
    unsupported('waypoints are not made'),
  ),
  row('24', 'istio#46614', 'the label goes and comes back', mended(own('istio#46614 and M6'))),
  row('25', 'istio#48949', 'one ztunnel for all of a node', asReported(joining('none is ready any more'))),
  row(
    '26',
    'istio#51081 istio#51429',
    'a finished pod keeps its address in the set',
    mended({ file: 'images/cni/agent/enroller.test.ts', test: 'finished' }),
  ),
  row('27', 'istio#47138', 'the wrong iptables of two', mended(node('where the kubelet uses iptables-legacy'))),
  row(
    '28',
    'istio#44762 istio#44807',
    'the node is set up again for no reason',
    mended(joining('the newest ztunnel that is ready is joined, once')),
  ),
  row('29', 'istio#50355', 'the annotation tells, and is told', asReported(agent('the annotation `disabled` keeps a pod out'))),
  row('30', '', 'NetworkPolicy, kind on Apple silicon, GKE', unsupported('none of these is made here')),
  row('M1', 'ztunnel#642', 'as row 1: the cause', unsupported('the lab serves no node ports')),
  row(
    'M2',
    '',
    'the node’s processes do not reach its pods from other addresses than that of the pod network',
    asReported(own('M2: the node')),
  ),
  row('M3', '', 'pods do not reach their own node’s address', asReported(own('M3:'))),
  row('M4', '', 'UDP and ICMP from the node go by way of ztunnel’s namespace', asReported(own('M4:'))),
  row('M5', '', 'the last packets of the node’s connections go astray', unsupported('which of them do is a matter of time')),
  row('M6', '', 'enrolment resets connections that stand', asReported(own('istio#46614 and M6'))),
  row('M7', '', 'what fails once is never tried again', mended(joining('what fails is tried again until it works'))),
  row('M8', '', 'a late removal takes the address of a new pod', mended(node('a late removal of a pod'))),
  row('M9', '', 'tables and priorities are emptied, whoever’s they are', mended(node("an uninstall takes only the mode's own"))),
  row(
    'M10',
    '',
    'settings of the node are never put back',
    mended({ file: 'clusters/install-iptables.test.ts', test: 'uninstalling it leaves nothing' }),
  ),
  row(
    'M11',
    '',
    'namespaces to leave alone are taken in',
    mended({ file: 'images/cni/shared/eligibility.test.ts', test: 'an excluded namespace' }),
  ),
  row('M12', '', 'ztunnel’s port for a pod may be one of the pod’s own', unsupported('it takes the same port of thousands')),
]
