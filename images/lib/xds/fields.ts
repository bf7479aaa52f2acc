import type protobuf from 'protobufjs/minimal.js'
import { BYTES, type Field, type Kind, type Message, VARINT, XdsError } from './schema.ts'

type Value<K> = K extends Kind<infer Out, infer _> ? Out : never
type Written<K> = K extends Kind<infer _, infer In> ? In : never
// biome-ignore lint/suspicious/noExplicitAny: any kind may be a field's
type AnyKind = Kind<any, any>

const text: Kind<string> = {
  wire: BYTES,
  empty: () => '',
  isEmpty: (value) => value === '',
  read({ reader }, _, name) {
    try {
      return reader.stringVerify()
    } catch (error) {
      if (error instanceof RangeError) throw error
      throw new XdsError(`${name}: not valid UTF-8`, { cause: error })
    }
  },
  write: (to, value) => to.string(value),
}

/** A copy of its own: whoever keeps four bytes of an address must not keep the whole message. */
const octets: Kind<Uint8Array> = {
  wire: BYTES,
  empty: () => new Uint8Array(0),
  isEmpty: (value) => value.length === 0,
  read: ({ reader }) => Uint8Array.from(reader.bytes()),
  write: (to, value) => to.bytes(value),
}

const boolean: Kind<boolean> = {
  wire: VARINT,
  empty: () => false,
  isEmpty: (value) => !value,
  read: ({ reader }) => reader.bool(),
  write: (to, value) => to.bool(value),
}

/** @param low @param high the numbers that fit */
function whole(low: number, high: number, read: (from: protobuf.Reader) => unknown, write: (to: protobuf.Writer, value: number) => void) {
  const fits = (value: number, name: string) => {
    if (!Number.isSafeInteger(value) || value < low || value > high)
      throw new XdsError(`${name}: ${value} is not a whole number from ${low} to ${high}`)
    return value
  }
  const kind: Kind<number> = {
    wire: VARINT,
    empty: () => 0,
    isEmpty: (value) => value === 0,
    read: (from, _, name) => fits(Number(read(from.reader)), name),
    write: (to, value, name) => write(to, fits(value, name)),
  }
  return kind
}

const unsigned32 = whole(
  0,
  2 ** 32 - 1,
  (from) => from.uint32(),
  (to, value) => to.uint32(value),
)
const signed32 = whole(
  -(2 ** 31),
  2 ** 31 - 1,
  (from) => from.int32(),
  (to, value) => to.int32(value),
)
const signed64 = whole(
  Number.MIN_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER,
  (from) => from.int64(),
  (to, value) => to.int64(value),
)

function one<K extends AnyKind>(number: number, kind: K): Field<Value<K>, Written<K>> {
  return { ...kind, number, form: 'one' }
}

export const string = (number: number) => one(number, text)
export const bytes = (number: number) => one(number, octets)
export const bool = (number: number) => one(number, boolean)
export const uint32 = (number: number) => one(number, unsigned32)
export const int32 = (number: number) => one(number, signed32)
/** Only numbers that JavaScript holds exactly. */
export const int64 = (number: number) => one(number, signed64)

/** Values by their upstream names; a number that has none stays a number, as proto3 wants it. The first is the default. */
function symbol<const T extends Readonly<Record<string, number>>>(values: T): Kind<keyof T | number> {
  const names = new Map(Object.entries(values).map(([name, number]) => [number, name as keyof T]))
  const numberOf = (value: keyof T | number, name: string) => {
    const found = typeof value === 'number' ? value : values[value]
    if (found === undefined) throw new XdsError(`${name}: ${String(value)} is none of ${Object.keys(values).join(', ')}`)
    return found
  }
  return {
    wire: VARINT,
    empty: () => names.get(0) ?? 0,
    isEmpty: (value) => value === 0 || values[value as keyof T] === 0,
    read: ({ reader }) => {
      const number = reader.int32()
      return names.get(number) ?? number
    },
    write: (to, value, name) => to.int32(numberOf(value, name)),
  }
}
export const enumeration = <const T extends Readonly<Record<string, number>>>(number: number, values: T) => one(number, symbol(values))

/** A message in a message: undefined where absent. */
export function sub<Out, In>(number: number, of: Message<Out, In>) {
  return { ...(of as Kind<Out, In>), number, form: 'one', presence: true } as const satisfies Field<Out, In>
}

/** Also an empty value is written, and absent is undefined: `optional` of proto3, and members of a oneof. */
export function optional<Out, In>(field: Field<Out, In>) {
  return { ...field, presence: true } as const
}

/** @param of a field made by the functions above; its own number does not count */
export function repeated<K extends AnyKind>(number: number, of: K): Field<readonly Value<K>[], readonly Written<K>[]> {
  return { ...composite(), number, form: 'many', member: of }
}

/** String keys only: an object without a prototype. */
export function map<K extends AnyKind>(
  number: number,
  of: K,
): Field<Readonly<Record<string, Value<K>>>, Readonly<Record<string, Written<K>>>> {
  return { ...composite(), number, form: 'map', member: of }
}

/** Lists and maps are read and written entry by entry, by their member's kind. */
function composite(): AnyKind {
  const never = () => {
    throw new TypeError('a list or a map is read and written by its members')
  }
  return { wire: BYTES, empty: never, read: never, write: never }
}
