import type { Field } from './hpack-decoder.ts'

/** Field names in lower case, pseudo fields with their colon; values of several fields of one name are joined by a comma. */
export type Headers = Readonly<Record<string, string>>

const requestPseudo = [':method', ':authority', ':scheme', ':path']
const responsePseudo = [':status']
const trailerPseudo: string[] = []
/** RFC 9110's token, without upper case (RFC 9113, section 8.2.1). */
const name = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what a value must not hold
const badValue = /[\u0000\r\n]|^[ \t]|[ \t]$/
const perConnection = new Set(['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade'])

/** A request's fields; undefined if it is malformed (RFC 9113, sections 8.2, 8.3.1 and 8.5): the stream has to be reset. */
export function requestHeaders(fields: readonly Field[]): Headers | undefined {
  const headers = collect(fields, requestPseudo)
  if (!headers) return undefined
  const method = headers[':method']
  if (!method) return undefined
  const addressed = headers[':scheme'] !== undefined || headers[':path'] !== undefined
  if (method === 'CONNECT') return headers[':authority'] === undefined || addressed ? undefined : headers
  return headers[':scheme'] && headers[':path'] ? headers : undefined
}

/** A response's fields, `:status` three digits; undefined if it is malformed. */
export function responseHeaders(fields: readonly Field[]): Headers | undefined {
  const headers = collect(fields, responsePseudo)
  return headers && /^[1-9]\d\d$/.test(headers[':status'] ?? '') ? headers : undefined
}

export const wellFormedTrailers = (fields: readonly Field[]): boolean => collect(fields, trailerPseudo) !== undefined

function collect(fields: readonly Field[], pseudo: readonly string[]): Record<string, string> | undefined {
  const headers: Record<string, string> = Object.create(null)
  let ordinary = false
  for (const [key, value] of fields) {
    const before = headers[key]
    if (key.startsWith(':')) {
      if (ordinary || before !== undefined || !pseudo.includes(key)) return undefined
    } else {
      ordinary = true
      if (!name.test(key) || perConnection.has(key) || (key === 'te' && value !== 'trailers')) return undefined
    }
    if (badValue.test(value)) return undefined
    headers[key] = before === undefined ? value : `${before}, ${value}`
  }
  return headers
}
