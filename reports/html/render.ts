import { gzipSync } from 'node:zlib'
import type { Report } from './report.ts'

/** Where the template takes the report. */
const slot = '<script id="report" type="application/gzip">'

/**
 * Puts a report into the built app: one file that opens from disk. The same report and template give the same bytes.
 * Packed, because a full run's evidence is several megabytes of much alike text; base64 also keeps it from ending the script element.
 */
export function renderReport(report: Report, template: string): string {
  const at = template.indexOf(slot)
  if (at < 0) throw new Error('the template has no place for the report; remove .everyhop/report-*.html, it is built again')
  const data = gzipSync(JSON.stringify(report), { level: 6 }).toString('base64')
  return `${template.slice(0, at + slot.length)}${data}${template.slice(at + slot.length)}`
}
