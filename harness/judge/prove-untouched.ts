import type { UntouchedProof } from '../modes/path.ts'
import type { Dumped } from './evidence.ts'
import { contradicted, missing, proven, type Scene } from './proof.ts'
import type { ProofVerdict } from './verdict.ts'

/** Whether the snapshots of a namespace are those of a pod without a mesh, and all alike. Dumps are whole: what is not in one was not there. */
export function proveUntouched(proof: UntouchedProof, scene: Scene): ProofVerdict {
  const expected = `nothing of a mesh in ${proof.netns}: no netfilter rule, the kernel's policy rules, usual tables, devices ${proof.devices.join(', ')}; the same in each snapshot`
  const seen = scene.evidence.dumps(proof)
  // IPv6's own routes come and go by themselves: with an address that is found to be nobody else's.
  const all = seen.filter((o) => o.kind !== 'route' || o.family === 'ip')
  const labels = [...new Set(all.map((o) => o.snapshot))]
  const otherwise = (o: Dumped) => contradicted(proof.kind, expected, `"${textOf(o)}" (snapshot ${o.snapshot})`, [o.ref], 'computed')
  const strange = seen.find((o) => isStrange(o, proof))
  if (strange) return otherwise(strange)
  const [first = ''] = labels
  const of = (label: string) => all.filter((o) => o.snapshot === label)
  const before = of(first)
  const has = (kind: Dumped['kind'], begins: string) =>
    before.some((o) => o.kind === kind && o.family === 'ip' && textOf(o).startsWith(begins))
  const isWhole =
    proof.policyRules.every((line) => has('policy-rule', line)) &&
    proof.devices.every((dev) => before.some((o) => o.kind === 'link' && deviceOf(o) === dev)) &&
    before.some((o) => o.kind === 'settings')
  if (!isWhole) return missing(proof.kind, expected, 'computed')
  for (const label of labels.slice(1)) {
    const [there, now] = [before, of(label)].map((list) => new Set(list.map(keyOf))) as [Set<string>, Set<string>]
    const changed = of(label).find((o) => !there.has(keyOf(o))) ?? before.find((o) => !now.has(keyOf(o)))
    if (changed) return otherwise(changed)
  }
  return proven(
    proof.kind,
    expected,
    all.map((o) => o.ref),
    'computed',
  )
}

function isStrange(o: Dumped, { policyRules, devices }: UntouchedProof): boolean {
  switch (o.kind) {
    case 'rule':
      return true
    case 'policy-rule':
      return o.family === 'ip' && !policyRules.includes(o.line)
    case 'route':
      return / table (?!(local|main|default)\b)/.test(o.line)
    case 'link':
      return !devices.includes(deviceOf(o))
    default:
      return false
  }
}

const textOf = (o: Dumped) => (o.kind === 'rule' ? o.rule : o.line)
const deviceOf = (o: Dumped) => /^\d+: (\S+)/.exec(textOf(o))?.[1] ?? ''
const keyOf = (o: Dumped) => `${o.kind} ${o.family} ${textOf(o)}`
