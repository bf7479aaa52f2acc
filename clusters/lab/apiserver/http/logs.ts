/** One line of a CRI log file: `<RFC 3339 time> stdout|stderr P|F <text>`; P: the line goes on in the next entry. */
const entry = /^(\S+) (stdout|stderr) ([PF]) ?(.*)$/

/**
 * What the log subresource gives of a container's log file.
 * @param query `timestamps`, `tailLines`, `limitBytes`, `sinceTime`, `sinceSeconds`
 */
export function readableLog(file: string, query: URLSearchParams, now = Date.now()): string {
  const lines: { time: string; text: string }[] = []
  let open: { time: string; text: string } | undefined
  for (const raw of file.split('\n')) {
    const found = entry.exec(raw)
    if (!found) continue
    const [, time, , part, text] = found as unknown as [string, string, string, string, string]
    if (open) open.text += text
    else open = { time, text }
    if (part === 'P') continue
    lines.push(open)
    open = undefined
  }
  if (open) lines.push(open)
  const seconds = query.get('sinceSeconds')
  const since = seconds ? now - 1000 * Number(seconds) : Date.parse(query.get('sinceTime') ?? '')
  const recent = Number.isNaN(since) ? lines : lines.filter(({ time }) => Date.parse(time) >= since)
  const tail = query.get('tailLines')
  const shown = tail === null ? recent : recent.slice(Math.max(0, recent.length - Number(tail)))
  const stamped = query.get('timestamps') === 'true'
  const text = shown.map(({ time, text }) => `${stamped ? `${time} ` : ''}${text}\n`).join('')
  const limit = query.get('limitBytes')
  return limit === null ? text : Buffer.from(text).subarray(0, Number(limit)).toString()
}
