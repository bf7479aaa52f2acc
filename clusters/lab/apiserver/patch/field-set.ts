import { isObject, type Json, type JsonObject } from '../json.ts'
import type { FieldSet } from '../types.ts'
import { field, type Schema } from './schema.ts'

/** Metadata that the server owns: never part of a manager's fields (as upstream's stripFields). */
const serverOwned = new Set([
  'name',
  'namespace',
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'generation',
  'managedFields',
  'resourceVersion',
  'selfLink',
  'generateName',
])

/** The fields that an object sets, in FieldsV1 form, without what the server owns. */
export function fieldsOf(object: JsonObject, schema: Schema): FieldSet {
  const { apiVersion: _version, kind: _kind, metadata, ...rest } = object
  const own = Object.fromEntries(Object.entries(isObject(metadata) ? metadata : {}).filter(([key]) => !serverOwned.has(key)))
  const set = objectFields({ ...rest, ...(Object.keys(own).length > 0 && { metadata: own }) }, schema)
  return set
}

function objectFields(value: JsonObject, schema: Schema | undefined): FieldSet {
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([key, inner]) => [`f:${key}`, valueFields(inner, field(schema, key))]),
  )
}

function valueFields(value: Json, schema: Schema | undefined): FieldSet {
  if (isObject(value)) return schema?.atomic ? {} : objectFields(value, schema)
  if (!Array.isArray(value) || !schema?.list) return {}
  const { list } = schema
  if (!list.keys) return Object.fromEntries(value.map((item) => [`v:${JSON.stringify(item)}`, {}]))
  return Object.fromEntries(
    value.map((item) => [itemKey(item, list), isObject(item) ? { '.': {}, ...objectFields(item, list.item) } : {}] as const),
  )
}

/** `k:{"name":"x"}`: how FieldsV1 names an item of a list with keys. */
export function itemKey(item: Json, list: NonNullable<Schema['list']>): string {
  const keys = [...(list.keys ?? [])].sort()
  return `k:${JSON.stringify(Object.fromEntries(keys.map((key) => [key, (isObject(item) ? item[key] : undefined) ?? list.defaults?.[key] ?? null])))}`
}

/** Whether nothing lies below: the field is owned as a whole. */
export function isLeaf(set: FieldSet): boolean {
  return Object.keys(set).every((key) => key === '.')
}
