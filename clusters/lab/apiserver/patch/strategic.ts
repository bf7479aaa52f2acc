import { badRequest } from '../errors.ts'
import { equal, isObject, type Json, type JsonObject, own, put } from '../json.ts'
import { field, type Schema } from './schema.ts'

const directive = /^\$(patch|retainKeys|setElementOrder\/|deleteFromPrimitiveList\/)/

/**
 * Strategic merge patch: as a merge patch, but lists that have a merge key (or are sets) are merged item by item.
 * Directives: `$patch: replace|delete|merge`, `$retainKeys`, `$deleteFromPrimitiveList/<field>`, `$setElementOrder/<field>`. Changes neither argument.
 * @throws ApiError 400 that names the field
 */
export function strategicMergePatch(target: JsonObject, patch: JsonObject, schema: Schema | undefined, path = ''): JsonObject {
  const mode = patch.$patch
  if (mode !== undefined && mode !== 'replace' && mode !== 'delete' && mode !== 'merge') {
    throw badRequest(`${path || 'patch'}: unknown $patch directive ${JSON.stringify(mode)}: use replace, delete or merge`)
  }
  if (mode === 'delete') return {}
  if (mode === 'replace') return Object.fromEntries(Object.entries(patch).filter(([key]) => key !== '$patch'))
  const result: JsonObject = { ...target }
  if (Array.isArray(patch.$retainKeys)) for (const key of Object.keys(result)) if (!patch.$retainKeys.includes(key)) delete result[key]
  for (const [key, value] of Object.entries(patch)) {
    if (directive.test(key)) continue
    const at = path ? `${path}.${key}` : key
    if (value === null) delete result[key]
    else put(result, key, patchValue(own(result, key), value, field(schema, key), at))
  }
  for (const [key, value] of Object.entries(patch)) {
    const [command, name] = key.split('/') as [string, string]
    const list = own(result, name)
    if (!Array.isArray(value) || !Array.isArray(list)) continue
    if (command === '$deleteFromPrimitiveList')
      put(
        result,
        name,
        list.filter((item) => !value.some((gone) => equal(item, gone))),
      )
    if (command === '$setElementOrder') put(result, name, reorder(list, value, field(schema, name)))
  }
  return result
}

function patchValue(old: Json | undefined, value: Json, schema: Schema | undefined, path: string): Json {
  if (Array.isArray(value))
    return schema?.list ? patchList(Array.isArray(old) ? old : [], value, schema.list, path) : withoutDirectives(value)
  if (isObject(value)) return strategicMergePatch(isObject(old) ? old : {}, value, schema, path)
  return value
}

function patchList(old: readonly Json[], patch: readonly Json[], { mergeKey, item }: NonNullable<Schema['list']>, path: string): Json[] {
  if (!mergeKey) return [...old, ...patch.filter((value) => !old.some((own) => equal(own, value)))]
  if (patch.some((entry) => isObject(entry) && entry.$patch === 'replace')) {
    return withoutDirectives(patch.filter((entry) => !(isObject(entry) && entry.$patch === 'replace')))
  }
  let result = [...old]
  for (const [index, entry] of patch.entries()) {
    if (!isObject(entry) || entry[mergeKey] === undefined) {
      throw badRequest(`${path}[${index}]: map does not contain declared merge key: ${mergeKey}`)
    }
    const same = (other: Json) => isObject(other) && equal(other[mergeKey], entry[mergeKey])
    if (entry.$patch === 'delete') result = result.filter((other) => !same(other))
    else {
      const at = result.findIndex(same)
      const merged = strategicMergePatch(at < 0 ? {} : (result[at] as JsonObject), entry, item, `${path}[${index}]`)
      if (at < 0) result.push(merged)
      else result[at] = merged
    }
  }
  return result
}

/** Items that the order names come in that order; those it doesn't name keep their place relative to the item before them. */
function reorder(list: readonly Json[], order: readonly Json[], schema: Schema | undefined): Json[] {
  const mergeKey = schema?.list?.mergeKey
  const idOf = (value: Json) => JSON.stringify(mergeKey && isObject(value) ? value[mergeKey] : value)
  const rank = new Map(order.map((value, index) => [idOf(value), index]))
  let last = -1
  return list
    .map((value, index) => {
      last = rank.get(idOf(value)) ?? last
      return { value, index, rank: last }
    })
    .sort((a, b) => a.rank - b.rank || a.index - b.index)
    .map(({ value }) => value)
}

function withoutDirectives(list: readonly Json[]): Json[] {
  return list.map((value) => (isObject(value) ? Object.fromEntries(Object.entries(value).filter(([key]) => !directive.test(key))) : value))
}
