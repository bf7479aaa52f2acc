import { parse } from 'yaml'
import { z } from 'zod'

const reportSchema = z.object({
  profiles: z.array(
    z.object({
      tests: z.array(z.object({ name: z.string(), result: z.string(), evidence: z.object({ sha256: z.string() }).optional() })),
    }),
  ),
})

/**
 * What a conformance report claims otherwise than one made anew from the evidence, a line each; none: every claim holds.
 * Only results and digests are compared: a report of another version may word the rest otherwise.
 */
export function differences(claimed: string, anew: string): string[] {
  const [before, now] = [testsOf(claimed), testsOf(anew)]
  if (!before || !now) return ['it is no conformance report of everyhop']
  return [...new Set([...before.keys(), ...now.keys()])].flatMap((name) => {
    const [a, b] = [before.get(name), now.get(name)]
    if (!a) return [`${name}: the evidence has it, the report does not`]
    if (!b) return [`${name}: the report has it, the evidence does not`]
    if (a.result !== b.result) return [`${name}: the report says ${a.result}, the evidence ${b.result}`]
    return a.sha256 === b.sha256 ? [] : [`${name}: its evidence is not what it was: sha256 ${a.sha256} in the report, ${b.sha256} now`]
  })
}

function testsOf(yaml: string): Map<string, { result: string; sha256: string | undefined }> | undefined {
  let value: unknown
  try {
    value = parse(yaml)
  } catch {
    return undefined
  }
  const { success, data } = reportSchema.safeParse(value)
  if (!success) return undefined
  return new Map(data.profiles.flatMap((p) => p.tests.map((t) => [t.name, { result: t.result, sha256: t.evidence?.sha256 }] as const)))
}
