import protobuf from 'protobufjs/minimal.js'

/** Largest ZDS message in either direction, bytes (Istio ztunnel and CNI agent: one message = one SEQPACKET packet). */
export const maxMessage = 1024

/** Upstream's name for what the agent knows of a workload (package istio.workload.zds, message WorkloadInfo). */
export interface WorkloadInfo {
  readonly name: string
  readonly namespace: string
  readonly serviceAccount: string
}

/** Agent → ztunnel (message WorkloadRequest). `add` travels with exactly one descriptor, the pod's network namespace; the others with none. */
export type WorkloadRequest =
  | { readonly add: { readonly uid: string; readonly workloadInfo?: WorkloadInfo } }
  | { readonly del: { readonly uid: string } }
  | { readonly keep: { readonly uid: string } }
  | { readonly snapshotSent: Readonly<Record<string, never>> }

/** Ztunnel → agent (message WorkloadResponse). No error, or an empty one, means done. */
export interface WorkloadResponse {
  readonly ack: { readonly error?: string }
}

/** Ztunnel's first packet (message ZdsHello): a bare message, not wrapped in a WorkloadResponse. */
export interface Hello {
  /** Enum Version: 1 is V1. */
  readonly version: number
}

/** Bytes that are no ZDS message, or a message that is too long to be sent. */
export class ZdsError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ZdsError'
  }
}

// Field numbers of upstream's zds.proto; note that DelWorkload's uid is 2, not 1.
const helloVersion = 1
const request = { add: 1, del: 2, snapshotSent: 3, keep: 5 }
const addUid = 1
const addInfo = 2
const info = { name: 1, namespace: 2, serviceAccount: 3 }
const delUid = 2
const keepUid = 1
const responseAck = 1
const ackError = 1

const VARINT = 0
const BYTES = 2

export function encodeHello(): Buffer {
  return finish(protobuf.Writer.create().uint32(tag(helloVersion, VARINT)).uint32(1))
}

/** @throws ZdsError */
export function decodeHello(bytes: Buffer): Hello {
  let version = 0
  decode('ZdsHello', bytes, (field, r) => {
    if (field === helloVersion) version = r.varint('version')
    else return false
    return true
  })
  return { version }
}

/** @throws ZdsError when the message would be longer than `maxMessage` */
export function encodeRequest(message: WorkloadRequest): Buffer {
  const w = protobuf.Writer.create()
  if ('add' in message) {
    open(w, request.add)
    text(w, addUid, message.add.uid)
    const about = message.add.workloadInfo
    if (about) {
      open(w, addInfo)
      text(w, info.name, about.name)
      text(w, info.namespace, about.namespace)
      text(w, info.serviceAccount, about.serviceAccount)
      w.ldelim()
    }
  } else if ('del' in message) {
    open(w, request.del)
    text(w, delUid, message.del.uid)
  } else if ('keep' in message) {
    open(w, request.keep)
    text(w, keepUid, message.keep.uid)
  } else {
    open(w, request.snapshotSent)
  }
  return finish(w.ldelim())
}

/** @throws ZdsError, also for a message whose payload is none of the known ones */
export function decodeRequest(bytes: Buffer): WorkloadRequest {
  let found: WorkloadRequest | undefined
  decode('WorkloadRequest', bytes, (field, r) => {
    if (field === request.add) found = { add: decodeAdd(r.bytes('add')) }
    else if (field === request.del) found = { del: { uid: onlyText('DelWorkload', r.bytes('del'), delUid, 'uid') } }
    else if (field === request.keep) found = { keep: { uid: onlyText('KeepWorkload', r.bytes('keep'), keepUid, 'uid') } }
    else if (field === request.snapshotSent) {
      decode('SnapshotSent', r.bytes('snapshot_sent'), () => false)
      found = { snapshotSent: {} }
    } else return false
    return true
  })
  if (!found) throw new ZdsError('ZDS WorkloadRequest: no payload (expected add, del, keep or snapshot_sent)')
  return found
}

/** @throws ZdsError when the message would be longer than `maxMessage` */
export function encodeResponse(message: WorkloadResponse): Buffer {
  const w = protobuf.Writer.create()
  open(w, responseAck)
  text(w, ackError, message.ack.error ?? '')
  return finish(w.ldelim())
}

/** @throws ZdsError, also for a message without an ack */
export function decodeResponse(bytes: Buffer): WorkloadResponse {
  let error: string | undefined
  decode('WorkloadResponse', bytes, (field, r) => {
    if (field === responseAck) error = onlyText('Ack', r.bytes('ack'), ackError, 'error')
    else return false
    return true
  })
  if (error === undefined) throw new ZdsError('ZDS WorkloadResponse: no payload (expected ack)')
  return { ack: error === '' ? {} : { error } }
}

function decodeAdd(bytes: Buffer): { uid: string; workloadInfo?: WorkloadInfo } {
  let uid = ''
  let workloadInfo: WorkloadInfo | undefined
  decode('AddWorkload', bytes, (field, r) => {
    if (field === addUid) uid = r.text('uid')
    else if (field === addInfo) workloadInfo = decodeInfo(r.bytes('workload_info'))
    else return false
    return true
  })
  return workloadInfo ? { uid, workloadInfo } : { uid }
}

function decodeInfo(bytes: Buffer): WorkloadInfo {
  const out = { name: '', namespace: '', serviceAccount: '' }
  decode('WorkloadInfo', bytes, (field, r) => {
    if (field === info.name) out.name = r.text('name')
    else if (field === info.namespace) out.namespace = r.text('namespace')
    else if (field === info.serviceAccount) out.serviceAccount = r.text('service_account')
    else return false
    return true
  })
  return out
}

function onlyText(message: string, bytes: Buffer, number: number, name: string): string {
  let value = ''
  decode(message, bytes, (field, r) => {
    if (field !== number) return false
    value = r.text(name)
    return true
  })
  return value
}

interface FieldReader {
  varint(name: string): number
  bytes(name: string): Buffer
  text(name: string): string
}

/** Walks the fields of one message; `onField` reads the field and returns true, or returns false to have it skipped (an unknown field). */
function decode(message: string, bytes: Buffer, onField: (field: number, read: FieldReader) => boolean): void {
  if (bytes.length > maxMessage) throw new ZdsError(`ZDS ${message}: ${bytes.length} bytes, at most ${maxMessage} are allowed`)
  const reader = protobuf.Reader.create(bytes)
  let wire = 0
  const want = (type: number, name: string) => {
    if (wire !== type) throw new ZdsError(`ZDS ${message}.${name}: wire type ${wire}, expected ${type}`)
  }
  const read: FieldReader = {
    varint(name) {
      want(VARINT, name)
      return reader.uint32()
    },
    bytes(name) {
      want(BYTES, name)
      return Buffer.from(reader.bytes())
    },
    text(name) {
      want(BYTES, name)
      try {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(reader.bytes())
      } catch (error) {
        if (error instanceof TypeError) throw new ZdsError(`ZDS ${message}.${name}: not valid UTF-8`, { cause: error })
        throw error
      }
    },
  }
  try {
    while (reader.pos < reader.len) {
      const key = reader.uint32()
      wire = key & 7
      const field = key >>> 3
      if (field === 0) throw new ZdsError(`ZDS ${message}: field number 0 at byte ${reader.pos - 1}`)
      if (!onField(field, read)) reader.skipType(wire)
    }
  } catch (error) {
    if (error instanceof ZdsError) throw error
    throw new ZdsError(`ZDS ${message}: malformed at byte ${reader.pos} of ${bytes.length}: ${(error as Error).message}`, { cause: error })
  }
}

function tag(field: number, wire: number): number {
  return (field << 3) | wire
}

function open(w: protobuf.Writer, field: number): void {
  w.uint32(tag(field, BYTES)).fork()
}

/** proto3: an empty string is not written. */
function text(w: protobuf.Writer, field: number, value: string): void {
  if (value !== '') w.uint32(tag(field, BYTES)).string(value)
}

function finish(w: protobuf.Writer): Buffer {
  const bytes = Buffer.from(w.finish())
  if (bytes.length > maxMessage) throw new ZdsError(`ZDS message of ${bytes.length} bytes, at most ${maxMessage} are allowed`)
  return bytes
}
