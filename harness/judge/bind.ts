import type { Binding, Flow, Path } from '../modes/path.ts'
import type { Attempt } from '../traffic/attempt.ts'
import type { Evidence } from './evidence.ts'

export type Variables = Readonly<Record<string, string>>

/** Reads the ports that only the run knows: from the client's own socket, from the server's, or from the packets of a connection. */
export function bind(path: Path, attempt: Attempt, evidence: Evidence): Variables {
  const variables: Record<string, string> = {}
  for (const [name, binding] of Object.entries(path.bindings)) {
    const port = portOf(binding, attempt, evidence)
    if (port !== undefined) variables[name] = port
  }
  return variables
}

function portOf(binding: Binding, attempt: Attempt, evidence: Evidence): string | undefined {
  switch (binding.from) {
    case 'client':
      return attempt.result.localPort?.toString()
    case 'served':
      return evidence
        .in('served', binding, attempt.window)
        .find((s) => s.body.includes(attempt.token))
        ?.peer.split(':')
        .at(-1)
    case 'packet': {
      const ports = evidence
        .in('packet', binding, attempt.window)
        .filter(
          (p) =>
            p.dev === binding.dev &&
            p.to === binding.to &&
            p.from.startsWith(`${binding.source}:`) &&
            (p.payloadLength > 0 || p.flags === 'S'),
        )
        .map((p) => p.from.slice(binding.source.length + 1))
      // Two connections at once would make the leg ambiguous: then neither is taken.
      return new Set(ports).size === 1 ? ports[0] : undefined
    }
  }
}

/** Puts the ports in; an unknown one stays as `$name` and matches nothing. */
export const fill = (text: string, variables: Variables): string =>
  text.replaceAll(/\$([a-z]+)/g, (whole, name) => variables[name] ?? whole)

export const fillFlow = ({ from, to }: Flow, variables: Variables): Flow => ({ from: fill(from, variables), to: fill(to, variables) })
