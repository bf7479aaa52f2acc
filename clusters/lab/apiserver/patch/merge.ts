import { isObject, type Json, type JsonObject, own, put } from '../json.ts'

/** JSON merge patch (RFC 7386). Changes neither argument. */
export function mergePatch(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch
  const result: JsonObject = isObject(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else put(result, key, mergePatch(own(result, key) ?? null, value))
  }
  return result
}
