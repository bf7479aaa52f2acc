import { randomInt } from 'node:crypto'
import { type FieldProblem, invalidValue } from './errors.ts'
import type { Resource } from './resources.ts'

/** As k8s.io/apimachinery's rand: no vowels, so no words. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789'

/** @param length @default 5, as names that are generated have it */
export function randomSuffix(length = 5): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')
}

/** A safe string of a hash, in the same alphabet (rand.SafeEncodeString): what pod-template-hash is made of. */
export function safeEncode(text: string): string {
  return Array.from(text, (character) => alphabet[character.charCodeAt(0) % alphabet.length]).join('')
}

/** `generateName` with a random end, cut so that it fits. */
export const generateName = (base: string) => base.slice(0, 58) + randomSuffix()

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
const rules = {
  subdomain: { max: 253, form: new RegExp(`^${label}(\\.${label})*$`), says: 'a lowercase RFC 1123 subdomain' },
  label: { max: 63, form: new RegExp(`^${label}$`), says: 'a lowercase RFC 1123 label' },
  label1035: { max: 63, form: /^[a-z]([-a-z0-9]*[a-z0-9])?$/, says: 'a DNS-1035 label' },
  path: { max: Number.POSITIVE_INFINITY, form: /^(?!\.{1,2}$)[^/%]+$/, says: 'a path segment (not . or .., no / or %)' },
} as const

export function validateName(name: string, rule: Resource['names']): FieldProblem[] {
  const { max, form, says } = rules[rule]
  if (name.length > max) return [invalidValue('metadata.name', name, `must be no more than ${max} characters`)]
  return form.test(name) ? [] : [invalidValue('metadata.name', name, `must be ${says}, matching ${form.source}`)]
}

const qualifiedName =
  /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$/
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/

/** @param path where the labels are, such as `metadata.labels` */
export function validateLabels(labels: unknown, path: string): FieldProblem[] {
  return validateMap(labels, path, (value) => labelValue.test(value))
}

/** Annotations: keys as labels have them, any text as value. */
export function validateAnnotations(annotations: unknown, path: string): FieldProblem[] {
  return validateMap(annotations, path, () => true)
}

function validateMap(map: unknown, path: string, isValue: (value: string) => boolean): FieldProblem[] {
  if (map === undefined || map === null) return []
  if (typeof map !== 'object' || Array.isArray(map)) return [invalidValue(path, map, 'must be a map of strings')]
  return Object.entries(map).flatMap(([key, value]) => {
    if (!qualifiedName.test(key))
      return [invalidValue(path, key, 'a key must be [prefix/]name, the name of at most 63 letters, digits, - _ .')]
    if (typeof value !== 'string') return [invalidValue(`${path}[${key}]`, value, 'must be a string: put it in quotes')]
    return isValue(value)
      ? []
      : [invalidValue(`${path}[${key}]`, value, 'must be at most 63 letters, digits, - _ . and begin and end with a letter or digit')]
  })
}
