/** Labels by name; their values may be any text. */
export type Labels = Readonly<Record<string, string>>

interface Collected {
  /** Lines of the text, without newline. */
  lines(): Iterable<string>
}

/** A set of metrics that prints itself as OpenMetrics 1.0 text (openmetrics.io, the specification of 2020). */
export class Registry {
  readonly #families: Collected[] = []
  readonly #beforeText: (() => void)[] = []

  add<T extends Collected>(family: T): T {
    this.#families.push(family)
    return family
  }

  /** Runs before each text is made: brings values up to date that nobody counts while they change. */
  beforeText(update: () => void): void {
    this.#beforeText.push(update)
  }

  text(): string {
    for (const update of this.#beforeText) update()
    return `${[...this.#families.flatMap((family) => [...family.lines()]), '# EOF'].join('\n')}\n`
  }
}

/** One number for each set of labels. */
export class Family {
  readonly #name: string
  readonly #help: string
  readonly #type: 'counter' | 'gauge'
  readonly #values = new Map<string, { value: number }>()

  /** @param name without the `_total` that a counter's samples get */
  constructor(type: 'counter' | 'gauge', name: string, help: string) {
    this.#type = type
    this.#name = name
    this.#help = help
  }

  /** The number of these labels, to be changed in place. */
  of(labels: Labels): { value: number } {
    return this.at(labelText(labels))
  }

  /** @param labels as `labelText` makes them */
  at(labels: string): { value: number } {
    let found = this.#values.get(labels)
    if (!found) {
      found = { value: 0 }
      this.#values.set(labels, found)
    }
    return found
  }

  *lines(): Iterable<string> {
    yield* head(this.#name, this.#help, this.#type)
    const sample = this.#type === 'counter' ? `${this.#name}_total` : this.#name
    for (const [labels, { value }] of this.#values) yield `${sample}${braced(labels)} ${value}`
  }
}

/** A number without labels that is asked for when the text is made. */
export class Observed {
  readonly #family: Family
  readonly #read: () => number

  constructor(type: 'counter' | 'gauge', name: string, help: string, read: () => number) {
    this.#family = new Family(type, name, help)
    this.#read = read
  }

  *lines(): Iterable<string> {
    this.#family.at('').value = this.#read()
    yield* this.#family.lines()
  }
}

/** How often each bound (inclusive, ascending) was kept to, for each set of labels. */
export class Histogram {
  readonly #name: string
  readonly #help: string
  readonly #bounds: readonly number[]
  readonly #values = new Map<string, { readonly counts: number[]; sum: number }>()

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name
    this.#help = help
    this.#bounds = [...bounds, Number.POSITIVE_INFINITY]
  }

  observe(labels: Labels, value: number): void {
    const key = labelText(labels)
    let found = this.#values.get(key)
    if (!found) {
      found = { counts: this.#bounds.map(() => 0), sum: 0 }
      this.#values.set(key, found)
    }
    found.sum += value
    this.#bounds.forEach((bound, i) => {
      if (value <= bound) found.counts[i]!++
    })
  }

  *lines(): Iterable<string> {
    const unit = /_(seconds|bytes)$/.exec(this.#name)?.[1]
    yield* head(this.#name, this.#help, 'histogram', unit)
    for (const [labels, { counts, sum }] of this.#values) {
      yield `${this.#name}_sum${braced(labels)} ${sum}`
      yield `${this.#name}_count${braced(labels)} ${counts.at(-1)}`
      for (const [i, bound] of this.#bounds.entries()) {
        const le = `le="${Number.isFinite(bound) ? (Number.isInteger(bound) ? `${bound}.0` : bound) : '+Inf'}"`
        yield `${this.#name}_bucket${braced(labels === '' ? le : `${le},${labels}`)} ${counts[i]}`
      }
    }
  }
}

/** `a="x",b="y"`, values escaped. */
export function labelText(labels: Labels): string {
  let text = ''
  for (const name in labels) text += `${text === '' ? '' : ','}${name}="${escaped(labels[name]!)}"`
  return text
}

const escaped = (value: string) => (/[\\"\n]/.test(value) ? value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`)) : value)
const braced = (labels: string) => (labels === '' ? '' : `{${labels}}`)

function* head(name: string, help: string, type: string, unit?: string): Iterable<string> {
  yield `# HELP ${name} ${help}`
  yield `# TYPE ${name} ${type}`
  if (unit) yield `# UNIT ${name} ${unit}`
}
