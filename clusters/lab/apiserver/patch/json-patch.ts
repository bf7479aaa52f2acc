import { ApiError, badRequest } from '../errors.ts'
import { copy, equal, isObject, type Json, own, put } from '../json.ts'

interface Operation {
  readonly op: string
  readonly path: string
  readonly from?: string
  readonly value?: Json
}

/**
 * JSON patch (RFC 6902). Changes neither argument.
 * @throws ApiError 400 for a malformed patch, 422 for one that the target doesn't fit; both name the operation
 */
export function jsonPatch(target: Json, patch: Json): Json {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch must be a list of operations; for an object use a merge patch')
  let document = copy(target)
  for (const [index, entry] of patch.entries()) {
    const operation = check(entry, index)
    document = run(document, operation, (why) => {
      const message = `the server rejected our request due to an error in our request: operation ${index} (${operation.op} ${JSON.stringify(operation.path)}): ${why}`
      return new ApiError(422, 'Invalid', message, {})
    })
  }
  return document
}

function check(entry: Json, index: number): Operation {
  const fail = (why: string) => badRequest(`JSON patch operation ${index}: ${why}`)
  if (!isObject(entry)) throw fail('must be an object')
  const { op, path, from } = entry
  if (typeof op !== 'string' || !['add', 'remove', 'replace', 'move', 'copy', 'test'].includes(op)) {
    throw fail(`op ${JSON.stringify(op) ?? 'missing'}: use add, remove, replace, move, copy or test`)
  }
  for (const pointer of op === 'move' || op === 'copy' ? [path, from] : [path]) {
    if (typeof pointer !== 'string' || (pointer !== '' && !pointer.startsWith('/'))) {
      throw fail(`${JSON.stringify(pointer) ?? 'a missing value'} is no JSON pointer: it must be empty or start with /`)
    }
  }
  if (['add', 'replace', 'test'].includes(op) && !Object.hasOwn(entry, 'value')) throw fail('value is missing')
  return entry as unknown as Operation
}

type Fail = (why: string) => ApiError

function run(document: Json, { op, path, from, value }: Operation, fail: Fail): Json {
  switch (op) {
    case 'add':
      return add(document, path, copy(value!), fail)
    case 'remove':
      return remove(document, path, fail)
    case 'replace':
      lookup(document, path, fail)
      return path === '' ? copy(value!) : add(remove(document, path, fail), path, copy(value!), fail)
    case 'copy':
      return add(document, path, copy(lookup(document, from!, fail)), fail)
    case 'move': {
      if (path.startsWith(`${from}/`)) throw fail('a value cannot move into itself')
      const moved = lookup(document, from!, fail)
      return path === from ? document : add(remove(document, from!, fail), path, moved, fail)
    }
    default:
      if (!equal(lookup(document, path, fail), value)) throw fail('the value there is another')
      return document
  }
}

const steps = (path: string) =>
  path
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))

function lookup(document: Json, path: string, fail: Fail): Json {
  return steps(path).reduce((at, step) => child(at, step, fail), document)
}

function child(parent: Json, step: string, fail: Fail): Json {
  const found = Array.isArray(parent)
    ? parent[itemIndex(parent, step, parent.length - 1, fail)]
    : isObject(parent)
      ? own(parent, step)
      : undefined
  if (found === undefined) throw fail(`nothing at ${JSON.stringify(step)}`)
  return found
}

function add(document: Json, path: string, value: Json, fail: Fail): Json {
  if (path === '') return value
  const { parent, last } = place(document, path, fail)
  if (Array.isArray(parent)) parent.splice(last === '-' ? parent.length : itemIndex(parent, last, parent.length, fail), 0, value)
  else if (isObject(parent)) put(parent, last, value)
  else throw fail('its parent is neither object nor list')
  return document
}

function remove(document: Json, path: string, fail: Fail): Json {
  if (path === '') return null
  const { parent, last } = place(document, path, fail)
  child(parent, last, fail)
  if (Array.isArray(parent)) parent.splice(Number(last), 1)
  else if (isObject(parent)) delete parent[last]
  return document
}

function place(document: Json, path: string, fail: Fail) {
  const cut = path.lastIndexOf('/')
  return { parent: lookup(document, path.slice(0, cut), fail), last: steps(path.slice(cut))[0]! }
}

function itemIndex(list: readonly Json[], step: string, max: number, fail: Fail): number {
  if (!/^(0|[1-9]\d*)$/.test(step) || Number(step) > max) throw fail(`${JSON.stringify(step)} is no index of a list of ${list.length}`)
  return Number(step)
}
