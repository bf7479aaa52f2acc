export type Labels = Readonly<Record<string, string>>

/** Are all labels of the selector there? A selector without labels selects everything. */
export function matches(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value)
}

/** As a Service selects its pods: without labels, none. */
export function selects(selector: Labels | undefined, labels: Labels): boolean {
  return selector !== undefined && Object.keys(selector).length > 0 && matches(selector, labels)
}
