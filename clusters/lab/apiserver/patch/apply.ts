import { badRequest, type StatusCause } from '../errors.ts'
import { equal, isObject, type Json, type JsonObject, own, put } from '../json.ts'
import type { FieldSet } from '../types.ts'
import { fieldsOf, isLeaf, itemKey } from './field-set.ts'
import { field, type Schema } from './schema.ts'

export interface Owner {
  readonly manager: string
  readonly fields: FieldSet
}

export interface Applied {
  readonly object: JsonObject
  /** What the manager owns now. */
  readonly fields: FieldSet
  /** Fields that other managers applied with other values; empty when forced. */
  readonly conflicts: readonly StatusCause[]
  /** Others, without the fields that were taken from them by force. */
  readonly others: readonly Owner[]
}

/**
 * Server-side apply: merges `config` into `live`, removes what this manager applied before and no longer applies (unless another applied it too).
 * Ownership is kept for appliers only; plain updates own nothing, so that an apply never conflicts with them.
 * @param before what the manager owned until now
 */
export function applyConfig(
  live: JsonObject,
  config: JsonObject,
  schema: Schema,
  before: FieldSet,
  others: readonly Owner[],
  force: boolean,
): Applied {
  const fields = fieldsOf(config, schema)
  const conflicts: StatusCause[] = []
  const rest = others.map(({ manager, fields: theirs }) => ({
    manager,
    fields: withoutConflicts(theirs, fields, live, config, schema, '', (path) => {
      conflicts.push({ reason: 'FieldManagerConflict', message: `conflict with ${JSON.stringify(manager)}`, field: path })
    }),
  }))
  const merged = mergeObject(live, config, schema, '')
  const object = prune(
    merged,
    before,
    fields,
    rest.map((owner) => owner.fields),
    schema,
  ) as JsonObject
  return { object, fields, conflicts: force ? [] : conflicts, others: force ? rest : others }
}

function mergeObject(live: JsonObject, config: JsonObject, schema: Schema | undefined, path: string): JsonObject {
  const result: JsonObject = { ...live }
  for (const [key, value] of Object.entries(config)) {
    if (value === null) continue
    put(result, key, mergeValue(own(live, key), value, field(schema, key), `${path}.${key}`))
  }
  return result
}

function mergeValue(live: Json | undefined, config: Json, schema: Schema | undefined, path: string): Json {
  if (isObject(config)) return schema?.atomic ? stripNulls(config) : mergeObject(isObject(live) ? live : {}, config, schema, path)
  if (!Array.isArray(config) || !schema?.list) return config
  const { list } = schema
  const idOf = (item: Json) => (list.keys ? itemKey(item, list) : JSON.stringify(item))
  const seen = new Set<string>()
  for (const item of config) {
    if (list.keys && !(isObject(item) && list.keys.some((key) => item[key] !== undefined))) {
      throw badRequest(`${path}: an item lacks its key (${list.keys.join(', ')})`)
    }
    if (seen.has(idOf(item))) throw badRequest(`${path}: duplicate entries for key ${idOf(item).slice(2)}`)
    seen.add(idOf(item))
  }
  const old = Array.isArray(live) ? live : []
  const byId = new Map(old.map((item) => [idOf(item), item]))
  const merged = config.map((item) => {
    const same = byId.get(idOf(item))
    return isObject(item) ? mergeObject(isObject(same) ? same : {}, item, list.item, path) : item
  })
  return [...merged, ...old.filter((item) => !seen.has(idOf(item)))]
}

function stripNulls(value: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== null))
}

/** Takes away what is in `before` but neither in `now` nor in any of `others`. */
function prune(value: Json, before: FieldSet, now: FieldSet, others: readonly FieldSet[], schema: Schema | undefined): Json {
  const gone = (key: string) => now[key] === undefined && !others.some((other) => other[key] !== undefined)
  const inner = (key: string) => others.flatMap((other) => other[key] ?? [])
  if (Array.isArray(value) && schema?.list) {
    const { list } = schema
    return value.flatMap((item) => {
      const key = list.keys ? itemKey(item, list) : `v:${JSON.stringify(item)}`
      const owned = before[key]
      if (!owned) return [item]
      return gone(key) ? [] : [prune(item, owned, now[key] ?? {}, inner(key), list.item)]
    })
  }
  if (!isObject(value)) return value
  const result: JsonObject = { ...value }
  for (const [name, owned] of Object.entries(before)) {
    const key = name.slice(2)
    const current = name.startsWith('f:') ? own(result, key) : undefined
    if (current === undefined) continue
    if (isLeaf(owned)) {
      if (gone(name)) delete result[key]
      continue
    }
    const left = prune(current, owned, now[name] ?? {}, inner(name), field(schema, key))
    if (gone(name) && isEmpty(left)) delete result[key]
    else put(result, key, left)
  }
  return result
}

const isEmpty = (value: Json) => (Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0)

/** The fields of `theirs` less those that `ours` sets to another value than the live one; each of these is reported. */
function withoutConflicts(
  theirs: FieldSet,
  ours: FieldSet,
  live: Json | undefined,
  config: Json | undefined,
  schema: Schema | undefined,
  path: string,
  onConflict: (path: string) => void,
): FieldSet {
  const result: FieldSet = {}
  for (const [key, set] of Object.entries(theirs)) {
    const mine = ours[key]
    result[key] = set
    if (!mine || key === '.') continue
    const [liveInner, configInner] = [at(live, key, schema), at(config, key, schema)]
    const inner = key.startsWith('f:') ? field(schema, key.slice(2)) : schema?.list?.item
    const where = key.startsWith('f:') ? `${path}.${key.slice(2)}` : `${path}[${key.slice(2)}]`
    if (!isLeaf(set) && !isLeaf(mine)) result[key] = withoutConflicts(set, mine, liveInner, configInner, inner, where, onConflict)
    else if (!equal(liveInner, configInner) && !(isObject(configInner) && isEmpty(configInner) && isObject(liveInner))) {
      onConflict(where)
      delete result[key]
    }
  }
  return result
}

function at(value: Json | undefined, key: string, schema: Schema | undefined): Json | undefined {
  if (key.startsWith('f:')) return isObject(value) ? own(value, key.slice(2)) : undefined
  if (!Array.isArray(value) || !schema?.list) return undefined
  const { list } = schema
  return value.find((item) => (key.startsWith('v:') ? `v:${JSON.stringify(item)}` : itemKey(item, list)) === key)
}
