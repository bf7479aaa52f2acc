import type { Frame, PacketObservation } from '../evidence/observation.ts'
import type { Device, PacketProof, Proof, Which } from '../modes/path.ts'
import type { Attempt } from '../traffic/attempt.ts'
import { boundRefs, fillFlow, type Variables } from './bind.ts'
import { check, deviceKey } from './checks.ts'
import type { Evidence } from './evidence.ts'
import type { Expectation } from './expectation.ts'
import { contradicted, isWhich, protocolOf, proven } from './proof.ts'
import type { HopVerdict } from './verdict.ts'

/** A frame where it was seen: a packet itself, or what a tunnel's datagram carries. */
interface Sighting {
  readonly packet: PacketObservation
  readonly frame: Frame
}

/** The closed world: a packet of the case's connections is seen only where, and as, the path lists it; inside a tunnel too. */
export function closedWorldCheck(expectation: Expectation, variables: Variables, attempt: Attempt, evidence: Evidence): HopVerdict {
  const proofs = expectation.path.legs.flatMap((l) => l.hops.flatMap((h) => h.proofs))
  const listed = listedPlaces(proofs, variables)
  const isListed = (s: Sighting) => {
    const which = listed.get(placeOf(s))
    return which !== undefined && (which === 'all' || which.some((w) => isWhich(w, s.frame)))
  }
  const ends = endsOf(expectation, proofs, variables)
  const protocols = new Set<string>(proofs.flatMap((p) => (p.kind === 'packet' ? protocolOf(p.which) : [])))
  const isBetween = pairOf(expectation)
  const unlisted = evidence
    .in('packet', undefined, attempt.window)
    .flatMap((packet): Sighting[] => [{ packet, frame: packet }, ...(packet.tunnel ? [{ packet, frame: packet.tunnel }] : [])])
    .filter(
      (s) => protocols.has(s.frame.protocol) && (ends.has(s.frame.from) || ends.has(s.frame.to) || isBetween(s.frame)) && !isListed(s),
    )
  const earlier = new Map(
    unlisted.filter((s) => !ends.has(s.frame.from) && !ends.has(s.frame.to)).map((s) => [s, openedBefore(s, attempt, evidence)]),
  )
  const strays = unlisted.filter((s) => !earlier.get(s))
  const expected = 'packets of the case are seen only where the path lists them'
  return check('closed-world', 'strays nowhere', [
    strays[0]
      ? contradicted(
          'packet',
          expected,
          textOf(strays[0]),
          strays.map((s) => s.packet.ref),
        )
      : proven('packet', expected, [
          ...boundRefs(expectation.path.legs, variables),
          ...new Set([...earlier.values()].flatMap((o) => o?.ref ?? [])),
        ]),
  ])
}

const keyOf = (at: Device, vni: number | undefined, from: string, to: string) =>
  `${deviceKey(at)} ${vni === undefined ? '' : `in ${vni} `}${from} ${to}`
const placeOf = ({ packet, frame }: Sighting) =>
  keyOf(packet, packet.tunnel === frame ? packet.tunnel.vni : undefined, frame.from, frame.to)

/** Where packets of which flow may be: all of them, or only those that open a connection. */
function listedPlaces(proofs: readonly Proof[], variables: Variables): ReadonlyMap<string, 'all' | readonly Which[]> {
  const listed = new Map<string, 'all' | readonly Which[]>()
  const list = (key: string, which: 'all' | Which) => {
    const others = listed.get(key) ?? []
    listed.set(key, which === 'all' || others === 'all' ? 'all' : [...others, which])
  }
  for (const proof of proofs) {
    if (proof.kind === 'token') {
      for (const f of [proof.forward, ...(proof.backward ? [proof.backward] : [])].map((x) => fillFlow(x, variables)))
        list(keyOf(proof, undefined, f.from, f.to), 'all')
    }
    if (proof.kind !== 'packet') continue
    const { from, to } = fillFlow(proof, variables)
    list(keyOf(proof, proof.inside?.vni, from, to), onlyOf(proof))
    if (!proof.inside) continue
    const outer = fillFlow(proof.inside, variables)
    list(keyOf(proof, undefined, outer.from, outer.to), 'all')
  }
  return listed
}

const onlyOf = ({ alone, which }: PacketProof) => (alone ? which : 'all')

/** The ends that only the run knew: whoever has one is of the case. A name server's end is everybody's. */
function endsOf({ path: { bindings } }: Expectation, proofs: readonly Proof[], variables: Variables): ReadonlySet<string> {
  const isShared = (end: string) =>
    Object.entries(bindings).some(([name, b]) => end === `$${name}` && b.from === 'translation' && b.side === 'asked')
  const own = proofs.flatMap((p) => ('from' in p ? [p.from, p.to] : [])).filter((end) => end.includes('$') && !isShared(end))
  return new Set(own.map((end) => fillFlow({ from: end, to: end }, variables).from))
}

/** Whether a packet goes between the case's client and whom it asks. */
function pairOf({ client, server, destination }: Expectation): (f: Frame) => boolean {
  const address = (end: string) => end.slice(0, end.lastIndexOf(':'))
  const there = new Set([server.ip, address(destination)])
  // Between a pod's address and itself go all its tunnels to itself; between a node and its pods what its kubelet asks them.
  if (client.ip === server.ip || client.netns === 'node') return () => false
  return ({ from, to }) =>
    (address(from) === client.ip && there.has(address(to))) || (address(to) === client.ip && there.has(address(from)))
}

function textOf({ packet, frame }: Sighting): string {
  const inside = packet.tunnel === frame ? ` inside a tunnel (${packet.tunnel.vni})` : ''
  return `[${frame.flags}] ${frame.from} → ${frame.to}${inside} ${packet.direction} at ${deviceKey(packet)}`
}

/** The opening of the packet's connection before the case's time, when it was not opened again in it: the end of another case's connection. Its SYN, or, where that had another address yet, the answer to it. */
function openedBefore({ packet, frame }: Sighting, { window }: Attempt, evidence: Evidence): PacketObservation | undefined {
  const { node, netns, dev } = packet
  const opens = (o: PacketObservation) =>
    o.dev === dev &&
    (o.flags === 'S' || o.flags === 'SA') &&
    ((o.from === frame.from && o.to === frame.to) || (o.from === frame.to && o.to === frame.from))
  const inTime = (from: number, to: number) => evidence.in('packet', { node, netns }, { from, to }).findLast(opens)
  return inTime(window.from, window.to) ? undefined : inTime(0, window.from)
}
