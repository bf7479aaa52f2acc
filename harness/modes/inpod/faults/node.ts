import type { Fault } from '../../fault.ts'
import { probe, sealed } from './cases.ts'
import { addedOnNodes } from './seeds.ts'

// Golden node-host-rules-ipset.
export const probeRule = (set: string) => `-p tcp -m owner --socket-exists -m set --match-set ${set} dst -j SNAT --to-source 169.254.7.127`

/** Rules and sets on the nodes. @param set the set of enrolled pods */
export const nodeFaults = (set: string): readonly Fault[] => [
  {
    id: 'probe-source-not-rewritten',
    title: "the node does not rewrite its probes' source",
    seed: {
      kind: 'commands',
      where: 'nodes',
      do: [['iptables', '-t', 'nat', '-D', 'ISTIO_POSTRT', ...probeRule(set).split(' ')]],
      undo: [['iptables', '-t', 'nat', '-A', 'ISTIO_POSTRT', ...probeRule(set).split(' ')]],
    },
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/is-given-the-probe-address' },
  },
  {
    id: 'probe-set-lost-its-entries',
    title: "the node's set of enrolled pods is empty",
    seed: {
      kind: 'commands',
      where: 'nodes',
      do: [['ipset', 'flush', set]],
      // ipset 7.22 (Debian 13) crashes on a comment among its arguments.
      undo: [['sh', '-c', `echo 'add ${set} $ip comment "$uid"' | ipset restore`]],
    },
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/is-given-the-probe-address' },
  },
  {
    id: 'probe-given-another-address',
    title: "the node rewrites its probes' source to an address that no pod knows",
    seed: {
      kind: 'commands',
      where: 'nodes',
      do: [['iptables', '-t', 'nat', '-R', 'ISTIO_POSTRT', '1', ...probeRule(set).replace('7.127', '7.128').split(' ')]],
      undo: [['iptables', '-t', 'nat', '-R', 'ISTIO_POSTRT', '1', ...probeRule(set).split(' ')]],
    },
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/is-given-the-probe-address' },
  },
  {
    id: 'probe-answers-dropped',
    title: 'the node drops what comes back for the probe address',
    seed: addedOnNodes('raw', 'PREROUTING', '-d 169.254.7.127/32 -j DROP'),
    cases: [probe],
    breaks: { case: probe, hop: 'node-app/leaves-the-node' },
  },
  {
    id: 'node-hides-the-source',
    title: "the node puts its own address in place of the pods'",
    seed: addedOnNodes('nat', 'POSTROUTING', '-p tcp -m tcp --dport 15008 -j MASQUERADE'),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/leaves-the-node' },
  },
  {
    id: 'hbone-dropped-on-the-node',
    title: 'the node lets no HBONE through, as a NetworkPolicy that only knows the ports of apps',
    seed: addedOnNodes('filter', 'FORWARD', '-p tcp -m tcp --dport 15008 -j DROP'),
    cases: [sealed],
    breaks: { case: sealed, hop: 'ztunnel-ztunnel/leaves-the-node' },
  },
]
