/** Counters in the text form of Prometheus. */
export class Metrics {
  readonly #counters = new Map<string, Map<string, number>>()

  /** Adds one to a counter with these labels. */
  count(name: string, labels: Readonly<Record<string, string>>): void {
    const series = this.#counters.get(name) ?? new Map<string, number>()
    this.#counters.set(name, series)
    const key = Object.entries(labels)
      .map(([k, v]) => `${k}=${JSON.stringify(v)}`)
      .join(',')
    series.set(key, (series.get(key) ?? 0) + 1)
  }

  text(): string {
    return [...this.#counters]
      .map(([name, series]) => `# TYPE ${name} counter\n${[...series].map(([labels, n]) => `${name}{${labels}} ${n}\n`).join('')}`)
      .join('')
  }
}
