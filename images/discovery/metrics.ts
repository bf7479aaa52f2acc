type Labels = Readonly<Record<string, string>>

/** Counters and gauges in the text form of Prometheus. */
export class Metrics {
  readonly #counters = new Map<string, Map<string, number>>()
  readonly #gauges = new Map<string, Map<string, () => number>>()

  /** Adds to a counter with these labels; it is there from its first count on, so `by: 0` shows it. */
  count(name: string, labels: Labels, by = 1): void {
    const series = this.#counters.get(name) ?? new Map<string, number>()
    this.#counters.set(name, series)
    series.set(labelText(labels), (series.get(labelText(labels)) ?? 0) + by)
  }

  /** @param read asked whenever somebody reads the metrics */
  gauge(name: string, labels: Labels, read: () => number): void {
    const series = this.#gauges.get(name) ?? new Map<string, () => number>()
    this.#gauges.set(name, series)
    series.set(labelText(labels), read)
  }

  text(): string {
    const block = (name: string, type: string, lines: string[]) => `# TYPE ${name} ${type}\n${lines.join('')}`
    return [
      ...[...this.#counters].map(([name, s]) =>
        block(
          name,
          'counter',
          [...s].map(([labels, n]) => `${name}${labels} ${n}\n`),
        ),
      ),
      ...[...this.#gauges].map(([name, s]) =>
        block(
          name,
          'gauge',
          [...s].map(([labels, read]) => `${name}${labels} ${read()}\n`),
        ),
      ),
    ].join('')
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`)
  return pairs.length > 0 ? `{${pairs.join(',')}}` : ''
}
