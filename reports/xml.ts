/** An XML element as text, indented by `depth`. Attributes that are undefined are left out; children are text to escape, or elements already made. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number | undefined>>,
  children: readonly string[] | string = [],
  depth = 0,
): string {
  const pad = '  '.repeat(depth)
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${escaped(`${value}`)}"`)
    .join('')
  if (typeof children === 'string') return `${pad}<${name}${written}>${escaped(children)}</${name}>`
  if (children.length === 0) return `${pad}<${name}${written}/>`
  return `${pad}<${name}${written}>\n${children.join('\n')}\n${pad}</${name}>`
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** Text for content and attributes: markup escaped, and what XML 1.0 cannot hold at all (section 2.2, Char) replaced. */
function escaped(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[&<>"]/g, (c) => entities[c]!)
    .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
}
