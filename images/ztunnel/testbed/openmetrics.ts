/** One sample of an OpenMetrics text. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const suffixes: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total', '_created'],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count', '_created'],
}

/**
 * Reads an OpenMetrics 1.0 text and checks what its specification asks of the families used here: HELP, TYPE and UNIT before the samples, samples of a family together and
 * under its names, no label set twice, counters never negative, histogram buckets cumulative up to +Inf, `# EOF` at the end.
 * @throws Error naming the line
 */
export function parseOpenMetrics(text: string): Sample[] {
  if (!text.endsWith('\n# EOF\n')) throw new Error('the text does not end with "# EOF" and a newline')
  const lines = text.slice(0, -'# EOF\n'.length).split('\n').slice(0, -1)
  const samples: Sample[] = []
  const done = new Set<string>()
  const seen = new Set<string>()
  let family = { name: '', type: '' }
  lines.forEach((line, i) => {
    const fail = (why: string) => new Error(`line ${i + 1}: ${why}: ${line}`)
    const meta = /^# (HELP|TYPE|UNIT) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line)
    if (meta) {
      const [, kind, name, rest] = meta as unknown as [string, string, string, string]
      if (name !== family.name) {
        if (done.has(name)) throw fail('the family was there before')
        done.add(name)
        family = { name, type: '' }
      } else if (samples.at(-1)?.name.startsWith(name) && family.type !== '' && kind !== 'UNIT') throw fail('twice')
      if (kind === 'TYPE') {
        if (!(rest in suffixes)) throw fail('unknown type')
        family.type = rest
      }
      if (kind === 'UNIT' && !name.endsWith(`_${rest}`)) throw fail('the unit is not the end of the name')
      return
    }
    const found = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (!found) throw fail('neither metadata nor a sample')
    const [, name, inner = '', number] = found as unknown as [string, string, string | undefined, string]
    if (!suffixes[family.type]?.some((suffix) => name === family.name + suffix)) throw fail(`no sample of ${family.name} (${family.type})`)
    const labels = parseLabels(inner, fail)
    const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number)
    if (Number.isNaN(value) || (family.type !== 'gauge' && value < 0)) throw fail('bad value')
    const key = `${name} ${JSON.stringify(Object.entries(labels).sort())}`
    if (seen.has(key)) throw fail('the same labels twice')
    seen.add(key)
    samples.push({ name, labels, value })
  })
  checkBuckets(samples)
  return samples
}

function parseLabels(text: string, fail: (why: string) => Error): Record<string, string> {
  const labels: Record<string, string> = {}
  const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y
  for (let at = 0; at < text.length; ) {
    label.lastIndex = at
    const found = label.exec(text)
    if (!found || found[1]! in labels) throw fail(`bad labels at ${at}`)
    labels[found[1]!] = found[2]!.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c))
    at = label.lastIndex
    if (found[3] === ',' && at === text.length) throw fail('a comma at the end')
  }
  return labels
}

function checkBuckets(samples: readonly Sample[]): void {
  let last: { key: string; le: number; value: number } | undefined
  for (const { name, labels, value } of samples) {
    if (!name.endsWith('_bucket')) {
      if (last && last.le !== Number.POSITIVE_INFINITY) throw new Error(`${last.key}: no +Inf bucket`)
      last = undefined
      continue
    }
    const { le, ...rest } = labels
    const key = JSON.stringify(rest)
    const bound = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le)
    if (last && last.key === key && (bound <= last.le || value < last.value)) throw new Error(`${name}${key}: buckets are not cumulative`)
    last = { key, le: bound, value }
  }
}
