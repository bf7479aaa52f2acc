import type { PacketObservation } from '../evidence/observation.ts'
import { packetsOf, reassemble, runBytes, type TcpStream } from '../evidence/parse/stream.ts'
import type { Device, Flow } from '../modes/path.ts'
import type { Evidence, Window } from './evidence.ts'

/** One direction of a connection as it was seen at one device in a window: its known bytes, and whether they are all. */
export interface Stream {
  readonly runs: readonly Buffer[]
  /** No gap, nothing cut by the capture, at least one byte. Only a complete stream can prove that something is not in it. */
  readonly complete: boolean
  readonly packets: readonly PacketObservation[]
  /** TCP only. */
  readonly tcp?: TcpStream
}

export function streamAt(evidence: Evidence, at: Device, { from, to }: Flow, window: Window): Stream {
  const here = evidence.in('packet', at, window).filter((p) => p.dev === at.dev && p.from === from && p.to === to)
  // lo shows each packet twice, going out and coming in: one side is enough.
  const direction = here.some((p) => p.direction === 'in' && p.payloadLength > 0) ? 'in' : 'out'
  const data = here.filter((p) => p.direction === direction && p.payloadLength > 0)
  // Datagrams are no stream: each is for itself.
  if (data[0]?.protocol === 'udp') {
    const whole = data.every((p) => p.payload.length === p.payloadLength)
    return { runs: data.map((p) => Buffer.from(p.payload)), complete: whole, packets: data }
  }
  const tcp = reassemble(data)
  return { runs: tcp.runs.map(runBytes), complete: tcp.gaps.length === 0 && data.length > 0, packets: data, tcp }
}

/** The first and the last `n` bytes of a stream, and the packets that brought them; undefined when one of them is not whole, or the stream is shorter. */
export function endsOf({ tcp }: Stream, n: number): { bytes: readonly Buffer[]; packets: readonly PacketObservation[] } | undefined {
  const [first, last] = [tcp?.runs[0], tcp?.runs.at(-1)]
  if (!tcp || !first || !last || tcp.length < n) return undefined
  if (first.start > 0 || first.end < n || last.end < tcp.length || last.start > tcp.length - n) return undefined
  return {
    bytes: [runBytes(first).subarray(0, n), runBytes(last).subarray(-n)],
    packets: [...packetsOf(tcp, 0, n), ...packetsOf(tcp, tcp.length - n, tcp.length)],
  }
}
