/** HTTP/2 on the wire (RFC 9113, sections 3.4, 4.1, 6 and 7). */
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
export const headLength = 9
/** What a peer may send before our SETTINGS say more, and the least that it may allow us. */
export const defaultFrameSize = 16_384
export const defaultWindow = 65_535
export const maxWindow = 0x7fffffff

export const type = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const

export const code = {
  noError: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const

/** The peer broke the protocol: the connection ends with this code. The message is for the log. */
export class H2Error extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.name = 'H2Error'
    this.code = code
  }
}

/** Writes a frame's head. @param at where its nine octets go in `into` */
export function writeHead(into: Buffer, at: number, length: number, kind: number, flags: number, id: number): void {
  into[at] = length >>> 16
  into[at + 1] = length >>> 8
  into[at + 2] = length
  into[at + 3] = kind
  into[at + 4] = flags
  into[at + 5] = id >>> 24
  into[at + 6] = id >>> 16
  into[at + 7] = id >>> 8
  into[at + 8] = id
}

/** Of frames whose payload has one length only. */
const lengths: Readonly<Record<number, number>> = { [type.ping]: 8, [type.reset]: 4, [type.windowUpdate]: 4, [type.priority]: 5 }
const ofStreams: readonly number[] = [type.headers, type.continuation, type.priority, type.reset]

/** Whether a frame that is not DATA may be on this stream and so long. @throws H2Error */
export function checkForm(kind: number, id: number, length: number): void {
  if (kind !== type.windowUpdate && ofStreams.includes(kind) === (id === 0))
    throw new H2Error(code.protocol, `a frame of type ${kind} on stream ${id}`)
  if (length !== (lengths[kind] ?? length) || (kind === type.goaway && length < 8))
    throw new H2Error(code.frameSize, `a frame of type ${kind} with ${length} octets`)
}
