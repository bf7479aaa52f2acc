import type { Expectation } from '../judge/expectation.ts'
import type { CaseVerdict } from '../judge/verdict.ts'
import { shortId } from '../matrix/cases.ts'
import { expectedOf } from './proof-words.ts'

/** One side of a comparison: a mode in a release, with what its cases had to show and what they showed. */
export interface Side {
  readonly name: string
  readonly cases: readonly { readonly expectation: Expectation; readonly verdict: CaseVerdict }[]
}

export interface PathDifference {
  /** Id without mode and release. */
  readonly case: string
  readonly verdicts: readonly [CaseVerdict['verdict'], CaseVerdict['verdict']]
  /** Steps that both take before they part; all of them when they do not. */
  readonly together: number
  /** The first step that is not the same; absent: the paths are the same. */
  readonly parts?: readonly [Step | undefined, Step | undefined]
  /** Every step that is not the same on both sides. */
  readonly steps: readonly (readonly [Step | undefined, Step | undefined])[]
}

/** A hop of a path in words that do not depend on addresses of the run. */
export interface Step {
  readonly leg: string
  readonly title: string
  /** What must be seen there and is not asked for on the other side. */
  readonly only: readonly string[]
}

export interface SideDifference {
  readonly sides: readonly [string, string]
  readonly cases: readonly PathDifference[]
  /** Cases that only one side has. */
  readonly alone: readonly { readonly case: string; readonly side: string }[]
}

/** Where the paths of the same cases part, between two modes or two releases. Pure. */
export function diffSides(a: Side, b: Side): SideDifference {
  const other = new Map(b.cases.map((c) => [shortId(c.expectation.case), c]))
  const mine = new Set(a.cases.map((c) => shortId(c.expectation.case)))
  const alone = [
    ...[...mine].filter((id) => !other.has(id)).map((id) => ({ case: id, side: a.name })),
    ...[...other.keys()].filter((id) => !mine.has(id)).map((id) => ({ case: id, side: b.name })),
  ]
  const cases = a.cases.flatMap((c) => {
    const id = shortId(c.expectation.case)
    const d = other.get(id)
    return d ? [{ case: id, verdicts: [c.verdict.verdict, d.verdict.verdict] as const, ...diffPaths(c.expectation, d.expectation) }] : []
  })
  return { sides: [a.name, b.name], cases, alone }
}

interface Written {
  readonly leg: string
  readonly title: string
  readonly expected: readonly string[]
}

function diffPaths(a: Expectation, b: Expectation): Pick<PathDifference, 'together' | 'parts' | 'steps'> {
  const [left, right] = [written(a), written(b)]
  const steps = aligned(left, right).map(([x, y]): readonly [Step | undefined, Step | undefined] => [x && only(x, y), y && only(y, x)])
  const different = steps.filter(([x, y]) => !x || !y || x.only.length > 0 || y.only.length > 0)
  const first = steps.findIndex((s) => different.includes(s))
  return { together: first < 0 ? steps.length : first, steps: different, ...(first < 0 ? {} : { parts: steps[first]! }) }
}

const written = (e: Expectation): Written[] =>
  e.path.legs.flatMap((l) => l.hops.map((h) => ({ leg: l.title, title: h.title, expected: h.proofs.map((p) => expectedOf(p, e)) })))

const only = (mine: Written, other: Written | undefined): Step => ({
  leg: mine.leg,
  title: mine.title,
  only: mine.expected.filter((x) => !other?.expected.includes(x)),
})

/** Steps of the same leg and title stand side by side, in the order of both (longest common subsequence). */
function aligned(a: readonly Written[], b: readonly Written[]): (readonly [Written | undefined, Written | undefined])[] {
  const same = (x: Written, y: Written) => x.leg === y.leg && x.title === y.title
  const longest = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0))
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--)
      longest[i]![j] = same(a[i]!, b[j]!) ? longest[i + 1]![j + 1]! + 1 : Math.max(longest[i + 1]![j]!, longest[i]![j + 1]!)
  }
  const pairs: (readonly [Written | undefined, Written | undefined])[] = []
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && same(a[i]!, b[j]!)) pairs.push([a[i++], b[j++]])
    else if (j >= b.length || (i < a.length && longest[i + 1]![j]! >= longest[i]![j + 1]!)) pairs.push([a[i++], undefined])
    else pairs.push([undefined, b[j++]])
  }
  return pairs
}
