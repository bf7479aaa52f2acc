import type { Binding, Flow, Path } from '../modes/path.ts'
import type { Attempt } from '../traffic/attempt.ts'
import type { Evidence } from './evidence.ts'

/** A port (or a whole end) that only the run knew, and the observations that it was read from (none: the client's own word in the attempt). */
interface Bound {
  readonly port: string
  readonly refs?: readonly string[]
}

export type Variables = Readonly<Record<string, Bound>>

/** Reads the ports that only the run knows: from the client's own socket, from the server's, or from the packets of a connection. */
export function bind(path: Path, attempt: Attempt, evidence: Evidence): Variables {
  const variables: Record<string, Bound> = {}
  // In their order: a later one may speak of an earlier one.
  for (const [name, binding] of Object.entries(path.bindings)) {
    const bound = boundBy(binding, attempt, evidence, variables)
    if (bound) variables[name] = bound
  }
  return variables
}

function boundBy(binding: Binding, attempt: Attempt, evidence: Evidence, known: Variables): Bound | undefined {
  switch (binding.from) {
    case 'client':
      return attempt.result.localPort === undefined ? undefined : { port: `${attempt.result.localPort}` }
    case 'packet': {
      const ends = evidence
        .in('packet', binding, attempt.window)
        .filter(
          (p) =>
            p.dev === binding.dev &&
            p.to === binding.to &&
            (binding.direction === undefined || p.direction === binding.direction) &&
            p.from.startsWith(`${binding.source}:`) &&
            (p.payloadLength > 0 || p.flags === 'S'),
        )
      // Two that carry bytes at once would make the leg ambiguous: then neither is taken. One that never got so far is still one.
      const carrying = ends.filter((p) => p.payloadLength > 0)
      const [first] = carrying.length > 0 ? carrying : ends
      return first && carrying.every((p) => p.from === first.from) ? { port: portOf(first.from), refs: [first.ref] } : undefined
    }
    case 'tunnel': {
      const inner = fillFlow(binding.inner, known)
      // Of a connection that is reused, when it was opened.
      const datagram = evidence
        .in('packet', binding, { from: 0, to: attempt.window.to })
        .findLast(({ dev, tunnel }) => dev === binding.dev && tunnel?.flags === 'S' && tunnel.from === inner.from && tunnel.to === inner.to)
      return datagram && { port: portOf(datagram.from), refs: [datagram.ref, ...boundRefs(binding.inner, known)] }
    }
    case 'question':
      return attempt.result.answer && { port: `${attempt.result.answer.localPort}` }
    case 'translation': {
      const orig = fillFlow(binding.orig, known)
      const event = evidence.in('conntrack', binding, attempt.window).find((e) => e.orig.from === orig.from && e.orig.to === orig.to)
      return (
        event && {
          port: binding.side === 'asker' ? event.reply.to : event.reply.from,
          refs: [event.ref, ...boundRefs(binding.orig, known)],
        }
      )
    }
    case 'conntrack': {
      const orig = fillFlow(binding.orig, known)
      const event = evidence.in('conntrack', binding, attempt.window).find((e) => e.orig.from === orig.from && e.orig.to === orig.to)
      return event && { port: portOf(event.reply.to), refs: [event.ref, ...boundRefs(binding.orig, known)] }
    }
  }
}

const portOf = (end: string) => end.slice(end.lastIndexOf(':') + 1)

/** Puts the ports in; an unknown one stays as `$name` and matches nothing. */
export const fill = (text: string, variables: Variables): string =>
  text.replaceAll(/\$([a-z]+)/g, (whole, name) => variables[name]?.port ?? whole)

export const fillFlow = ({ from, to }: Flow, variables: Variables): Flow => ({ from: fill(from, variables), to: fill(to, variables) })

/** The observations that a proof rests on because its ports were read from them. */
export function boundRefs(proof: unknown, variables: Variables): string[] {
  const names = new Set([...JSON.stringify(proof).matchAll(/\$([a-z]+)/g)].map(([, name]) => name!))
  return [...names].flatMap((name) => variables[name]?.refs ?? [])
}
