import type { Answer, Call } from './platform.ts'

/** A request as HTTP/1.0 writes it: the answer comes whole and ends with the connection, so that no framing must be read. */
export function requestText(authority: string, { method, path, headers = {}, body = '' }: Call): string {
  const all: Record<string, string> = {
    host: authority,
    ...headers,
    ...(method === 'POST' ? { 'content-length': String(utf8Length(body)) } : {}),
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return [`${method} ${path} HTTP/1.0`, ...lines, '', body].join('\r\n')
}

/** @throws Error for what is no whole answer */
export function parseResponse(text: string): Answer {
  const end = text.indexOf('\r\n\r\n')
  const [, status] = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(text) ?? []
  if (end < 0 || !status)
    throw new Error(text === '' ? 'the connection was closed without an answer' : `no HTTP answer: ${JSON.stringify(text.slice(0, 80))}`)
  const body = text.slice(end + 4)
  const length = /\r\ncontent-length: *(\d+) *(?=\r\n)/i.exec(text.slice(0, end + 2))?.[1]
  if (length !== undefined && utf8Length(body) < Number(length)) throw new Error('the connection was closed in the middle of the answer')
  if (/\r\ntransfer-encoding:/i.test(text.slice(0, end + 2))) throw new Error('the answer to a request of HTTP/1.0 is in chunks')
  return { status: Number(status), body }
}

/** Bytes of a text in UTF-8. */
function utf8Length(text: string): number {
  let length = 0
  for (const character of text) {
    const point = character.codePointAt(0)!
    length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
  }
  return length
}
