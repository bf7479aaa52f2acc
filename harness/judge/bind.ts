import type { Binding, Flow, Path } from '../modes/path.ts'
import type { Attempt } from '../traffic/attempt.ts'
import type { Evidence } from './evidence.ts'

/** A port that only the run knew, and the observation that it was read from (none: the client's own word in the attempt). */
interface Bound {
  readonly port: string
  readonly ref?: string
}

export type Variables = Readonly<Record<string, Bound>>

/** Reads the ports that only the run knows: from the client's own socket, from the server's, or from the packets of a connection. */
export function bind(path: Path, attempt: Attempt, evidence: Evidence): Variables {
  const variables: Record<string, Bound> = {}
  for (const [name, binding] of Object.entries(path.bindings)) {
    const bound = boundBy(binding, attempt, evidence)
    if (bound) variables[name] = bound
  }
  return variables
}

function boundBy(binding: Binding, attempt: Attempt, evidence: Evidence): Bound | undefined {
  switch (binding.from) {
    case 'client':
      return attempt.result.localPort === undefined ? undefined : { port: `${attempt.result.localPort}` }
    case 'served': {
      const served = evidence.in('served', binding, attempt.window).find((s) => s.body.includes(attempt.token))
      return served && { port: served.peer.slice(served.peer.lastIndexOf(':') + 1), ref: served.ref }
    }
    case 'packet': {
      const ends = evidence
        .in('packet', binding, attempt.window)
        .filter(
          (p) =>
            p.dev === binding.dev &&
            p.to === binding.to &&
            p.from.startsWith(`${binding.source}:`) &&
            (p.payloadLength > 0 || p.flags === 'S'),
        )
      // Two connections at once would make the leg ambiguous: then neither is taken.
      const first = ends[0]
      return first && ends.every((p) => p.from === first.from)
        ? { port: first.from.slice(binding.source.length + 1), ref: first.ref }
        : undefined
    }
  }
}

/** Puts the ports in; an unknown one stays as `$name` and matches nothing. */
export const fill = (text: string, variables: Variables): string =>
  text.replaceAll(/\$([a-z]+)/g, (whole, name) => variables[name]?.port ?? whole)

export const fillFlow = ({ from, to }: Flow, variables: Variables): Flow => ({ from: fill(from, variables), to: fill(to, variables) })

/** The observations that a proof rests on because its ports were read from them. */
export function boundRefs(proof: unknown, variables: Variables): string[] {
  const names = new Set([...JSON.stringify(proof).matchAll(/\$([a-z]+)/g)].map(([, name]) => name!))
  return [...names].flatMap((name) => variables[name]?.ref ?? [])
}
