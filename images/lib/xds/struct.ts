import type protobuf from 'protobufjs/minimal.js'
import { BYTES, count, type Decoding, FIXED64, type Field, type Kind, readEntry, VARINT, within, XdsError } from './schema.ts'

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json
}

/** Fields of google.protobuf.Value's oneof, Struct and ListValue (struct.proto). */
const value = { null: 1, number: 2, string: 3, bool: 4, struct: 5, list: 6 }
const structFields = 1
const listValues = 1

const tag = (field: number, wire: number) => (field << 3) | wire

/** A google.protobuf.Struct as the JSON object that it stands for, without a prototype. */
const structKind: Kind<JsonObject> = {
  wire: BYTES,
  empty: () => Object.create(null),
  read: (from, before, name) =>
    within(from, name, () => {
      const out = (before ?? Object.create(null)) as Record<string, Json>
      eachField(from, name, (found) => {
        if (found !== tag(structFields, BYTES)) return false
        count(from, name)
        within(from, name, () => readEntry(from, out, name, valueKind))
        return true
      })
      return out
    }),
  write(to, object, name) {
    to.fork()
    for (const [key, member] of Object.entries(object)) {
      to.uint32(tag(structFields, BYTES)).fork()
      to.uint32(tag(1, BYTES)).string(key)
      valueKind.write(to.uint32(tag(2, BYTES)), member, name)
      to.ldelim()
    }
    to.ldelim()
  },
}

const valueKind: Kind<Json> = {
  wire: BYTES,
  empty: () => null,
  read: (from, before, name) =>
    within(from, name, () => {
      let out: Json = before ?? null
      eachField(from, name, (found) => {
        const { reader } = from
        count(from, name)
        if (found === tag(value.null, VARINT)) {
          reader.int32()
          out = null
        } else if (found === tag(value.number, FIXED64)) out = reader.double()
        else if (found === tag(value.string, BYTES)) out = reader.stringVerify()
        else if (found === tag(value.bool, VARINT)) out = reader.bool()
        else if (found === tag(value.struct, BYTES)) out = structKind.read(from, undefined, name)
        else if (found === tag(value.list, BYTES)) out = readList(from, name)
        else return false
        return true
      })
      return out
    }),
  write(to, member, name) {
    to.fork()
    if (member === null) to.uint32(tag(value.null, VARINT)).int32(0)
    else if (typeof member === 'number') to.uint32(tag(value.number, FIXED64)).double(member)
    else if (typeof member === 'string') to.uint32(tag(value.string, BYTES)).string(member)
    else if (typeof member === 'boolean') to.uint32(tag(value.bool, VARINT)).bool(member)
    else if (Array.isArray(member)) writeList(to.uint32(tag(value.list, BYTES)), member, name)
    else structKind.write(to.uint32(tag(value.struct, BYTES)), member as JsonObject, name)
    to.ldelim()
  },
}

function readList(from: Decoding, name: string): Json[] {
  return within(from, name, () => {
    const out: Json[] = []
    eachField(from, name, (found) => {
      if (found !== tag(listValues, BYTES)) return false
      out.push(valueKind.read(from, undefined, name))
      return true
    })
    return out
  })
}

function writeList(to: protobuf.Writer, members: readonly Json[], name: string): void {
  to.fork()
  for (const member of members) valueKind.write(to.uint32(tag(listValues, BYTES)), member, name)
  to.ldelim()
}

/** @param onField reads the field and returns true, or returns false to have it skipped */
function eachField({ reader }: Decoding, name: string, onField: (tag: number) => boolean): void {
  while (reader.pos < reader.len) {
    const found = reader.uint32()
    if (found >>> 3 === 0) throw new XdsError(`${name}: field number 0`)
    if (onField(found)) continue
    if ((found & 7) === 3 || (found & 7) === 4) throw new XdsError(`${name}: a group (wire type ${found & 7})`)
    reader.skipType(found & 7)
  }
}

/** A field with a google.protobuf.Struct: undefined where absent. */
export const struct = (number: number) => ({ ...structKind, number, form: 'one', presence: true }) as const satisfies Field<JsonObject>
