import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

const schema = join(import.meta.dirname, '../fixtures/junit.xsd')

/** What an independent reader says against a JUnit file: nothing, if it is well-formed and of the common format. */
export function complaints(xml: string): string {
  try {
    execFileSync('xmllint', ['--noout', '--nonet', '--schema', schema, '-'], {
      input: xml,
      stdio: ['pipe', 'pipe', 'pipe'],
      encoding: 'utf8',
    })
    return ''
  } catch (error) {
    return (error as { stderr: string }).stderr
  }
}

/** The text that an XPath expression selects, read by an independent reader. */
export const selected = (xml: string, path: string): string =>
  execFileSync('xmllint', ['--xpath', path, '-'], { input: xml, encoding: 'utf8' }).trim()
