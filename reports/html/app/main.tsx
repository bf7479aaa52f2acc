import { render } from 'preact'
import type { Report } from '../report.ts'
import { App } from './app.tsx'
import './style/base.css'
import './style/matrix.css'
import './style/case.css'
import './style/faults.css'
import './style/print.css'

async function unpacked(text: string): Promise<Report> {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'))
  return JSON.parse(await new Response(stream).text()) as Report
}

const root = document.getElementById('app')!
try {
  const report = await unpacked(document.getElementById('report')!.textContent ?? '')
  root.textContent = ''
  render(<App report={report} />, root)
} catch (error) {
  root.textContent = `This report cannot be shown: ${(error as Error).message}. It needs a browser of 2023 or newer, and the whole file.`
}
