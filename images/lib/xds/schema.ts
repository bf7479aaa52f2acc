import protobuf from 'protobufjs/minimal.js'

/** Bytes that are not the message they should be, or a value that cannot be written; names the message and the field. */
export class XdsError extends Error {
  override name = 'XdsError'
}

/** Wire types of protobuf that these messages use; groups are refused. */
export const VARINT = 0
export const FIXED64 = 1
export const BYTES = 2

/**
 * What one message may hold, so that a small text cannot become a big structure: values of any kind (two bytes of an empty message make an object of
 * a hundred), and levels of nesting (google.protobuf.Struct nests itself).
 */
const maxValues = 4_000_000
const maxDepth = 32

/** One message being read, with all that it holds. */
export interface Decoding {
  readonly reader: protobuf.Reader
  values: number
  depth: number
}

/** How one value of a field is read and written. `Out` is what reading gives, `In` what writing takes. */
export interface Kind<Out, In = Out> {
  readonly wire: number
  /** @param before the field's value so far: a message that comes in parts is merged */
  read(from: Decoding, before: Out | undefined, name: string): Out
  write(to: protobuf.Writer, value: In, name: string): void
  /** What an absent field or map value is. */
  empty(): Out
  /** Such a value is not written, unless the field has `presence`. */
  isEmpty?(value: In): boolean
}

export interface Field<Out, In = Out> extends Kind<Out, In> {
  readonly number: number
  readonly form: 'one' | 'many' | 'map'
  /** For a map: the kind of its values; for a list: of its members. */
  // biome-ignore lint/suspicious/noExplicitAny: a field knows its members' type, a table of fields cannot
  readonly member?: Kind<any, any>
  /** Absent is absent, and an empty value is written: messages, members of oneofs and `optional`. */
  readonly presence?: true
}

// biome-ignore lint/suspicious/noExplicitAny: any field may stand in a table
type Fields = Readonly<Record<string, Field<any, any>>>
type Optional<F extends Fields> = { [K in keyof F]: F[K] extends { readonly presence: true } ? K : never }[keyof F]
type OutOf<F extends Fields> = { readonly [K in Exclude<keyof F, Optional<F>>]: F[K] extends Field<infer Out, infer _> ? Out : never } & {
  readonly [K in Optional<F>]?: (F[K] extends Field<infer Out, infer _> ? Out : never) | undefined
}
type InOf<F extends Fields> = { readonly [K in keyof F]?: (F[K] extends Field<infer _, infer In> ? In : never) | undefined }

/** A message as a codec, and as a kind that other messages hold. */
export interface Message<Out, In> extends Kind<Out, In> {
  /** Name with package, such as `istio.workload.Workload`. */
  readonly fullName: string
  /** Fields that are left out are empty. @throws XdsError */
  encode(value: In): Buffer
  /** Unknown fields are skipped. Strings must be UTF-8. @throws XdsError */
  decode(bytes: Uint8Array): Out
}

/** What `decode` of a message gives. */
export type Decoded<M> = M extends Message<infer Out, infer _> ? Out : never
/** What `encode` of a message takes. */
export type Encodable<M> = M extends Message<infer _, infer In> ? In : never

/**
 * A message from its table of fields.
 * @param oneofs groups of fields of which the last one on the wire counts, and at most one may be written
 */
export function message<const F extends Fields>(
  fullName: string,
  fields: F,
  oneofs: readonly (readonly (keyof F & string)[])[] = [],
): Message<OutOf<F>, InOf<F>> {
  const byNumber = new Map(Object.entries(fields).map(([name, field]) => [field.number, { name, field }]))
  const rivals = new Map(oneofs.flatMap((group) => group.map((name) => [name as string, group.filter((other) => other !== name)])))

  const read = (from: Decoding, before: Record<string, unknown> | undefined): Record<string, unknown> => {
    const { reader } = from
    const out = before ?? defaults(fields)
    while (reader.pos < reader.len) {
      const tag = reader.uint32()
      const wire = tag & 7
      if (tag >>> 3 === 0) throw new XdsError(`${fullName}: field number 0 at byte ${reader.pos - 1}`)
      const known = byNumber.get(tag >>> 3)
      if (!known) {
        if (wire === 3 || wire === 4)
          throw new XdsError(`${fullName}: field ${tag >>> 3} is a group (wire type ${wire}), which no message here has`)
        reader.skipType(wire)
        continue
      }
      const { name, field } = known
      for (const other of rivals.get(name) ?? []) delete out[other]
      readField(from, out, `${fullName}.${name}`, name, field, wire)
    }
    return out
  }
  const write = (to: protobuf.Writer, value: Record<string, unknown>): void => {
    for (const [name, field] of Object.entries(fields)) {
      const own = value[name]
      if (own === undefined) continue
      const rival = rivals.get(name)?.find((other) => value[other] !== undefined)
      if (rival) throw new XdsError(`${fullName}: ${name} and ${rival} are set, but it is one of them`)
      writeField(to, `${fullName}.${name}`, field, own)
    }
  }
  const nested: Kind<Record<string, unknown>> = {
    wire: BYTES,
    empty: () => defaults(fields),
    read: (from, before, name) => within(from, name, () => read(from, before)),
    write(to, value) {
      to.fork()
      write(to, value)
      to.ldelim()
    },
  }
  return {
    ...(nested as unknown as Kind<OutOf<F>, InOf<F>>),
    fullName,
    encode(value) {
      const to = protobuf.Writer.create()
      write(to, value as Record<string, unknown>)
      return Buffer.from(to.finish())
    },
    decode(bytes) {
      const reader = protobuf.Reader.create(bytes)
      try {
        return read({ reader, values: 0, depth: 0 }, undefined) as OutOf<F>
      } catch (error) {
        if (error instanceof XdsError) throw error
        throw new XdsError(`${fullName}: malformed at byte ${reader.pos} of ${bytes.length}: ${(error as Error).message}`, { cause: error })
      }
    },
  }
}

/** Counts a value that is read. @throws XdsError when the message holds too many */
export function count(from: Decoding, name: string): void {
  if (++from.values > maxValues) throw new XdsError(`${name}: more than ${maxValues} values in one message`)
}

/** Reads what one sub-message's length says, and no more. */
export function within<T>(from: Decoding, name: string, work: () => T): T {
  const { reader } = from
  const size = reader.uint32()
  const end = reader.pos + size
  const outer = reader.len
  if (end > outer) throw new XdsError(`${name}: ${size} bytes are announced, ${outer - reader.pos} are there`)
  if (++from.depth > maxDepth) throw new XdsError(`${name}: nested more than ${maxDepth} levels deep`)
  reader.len = end
  const result = work()
  if (reader.pos !== end) throw new XdsError(`${name}: a field ends ${reader.pos - end} bytes behind its message`)
  reader.len = outer
  from.depth--
  return result
}

function readField(from: Decoding, out: Record<string, unknown>, name: string, key: string, field: Field<unknown>, wire: number): void {
  const { reader } = from
  const kind = field.member ?? field
  const want = (type: number) => {
    if (wire !== type) throw new XdsError(`${name}: wire type ${wire}, expected ${type}`)
  }
  if (field.form === 'map') {
    want(BYTES)
    count(from, name)
    within(from, name, () => readEntry(from, out[key] as Record<string, unknown>, name, kind))
  } else if (field.form === 'many') {
    const list = out[key] as unknown[]
    // Numbers come packed into one field, or one by one from old writers.
    if (kind.wire === VARINT && wire === BYTES) {
      within(from, name, () => {
        while (reader.pos < reader.len) {
          count(from, name)
          list.push(kind.read(from, undefined, name))
        }
      })
      return
    }
    want(kind.wire)
    count(from, name)
    list.push(kind.read(from, undefined, name))
  } else {
    want(kind.wire)
    count(from, name)
    out[key] = kind.read(from, out[key], name)
  }
}

/** One entry of a map: key 1, value 2; what is absent is empty. */
export function readEntry(from: Decoding, map: Record<string, unknown>, name: string, kind: Kind<unknown>): void {
  const { reader } = from
  let key = ''
  let value: unknown
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === ((1 << 3) | BYTES)) key = reader.stringVerify()
    else if (tag === ((2 << 3) | kind.wire)) value = kind.read(from, value, name)
    else if (tag >>> 3 <= 2 || (tag & 7) === 3 || (tag & 7) === 4) throw new XdsError(`${name}: an entry with tag ${tag}`)
    else reader.skipType(tag & 7)
  }
  map[key] = value ?? kind.empty()
}

function writeField(to: protobuf.Writer, name: string, field: Field<unknown>, value: unknown): void {
  const tag = (wire: number) => to.uint32((field.number << 3) | wire)
  const kind = field.member ?? field
  if (field.form === 'map') {
    for (const [key, own] of Object.entries(value as Record<string, unknown>)) {
      tag(BYTES).fork()
      to.uint32((1 << 3) | BYTES).string(key)
      kind.write(to.uint32((2 << 3) | kind.wire), own, name)
      to.ldelim()
    }
  } else if (field.form === 'many') {
    const list = value as readonly unknown[]
    if (list.length === 0) return
    if (kind.wire === VARINT) {
      tag(BYTES).fork()
      for (const own of list) kind.write(to, own, name)
      to.ldelim()
    } else for (const own of list) kind.write(tag(kind.wire), own, name)
  } else if (field.presence || !kind.isEmpty?.(value)) kind.write(tag(kind.wire), value, name)
}

function defaults(fields: Fields): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(fields)) {
    // Without a prototype, so that a key `__proto__` is a key like any other.
    if (field.form === 'map') out[name] = Object.create(null)
    else if (field.form === 'many') out[name] = []
    else if (!field.presence) out[name] = field.empty()
  }
  return out
}
