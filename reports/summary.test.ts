import { expect, test } from 'vitest'
import { summaryMarkdown } from './summary.ts'
import { failedCase, sampleCase, sampleResults } from './testing/sample.ts'

test('tells the counts first, then a table of mode by traffic', () => {
  const text = summaryMarkdown(sampleResults([sampleCase(), failedCase(), sampleCase({ id: 'inpod@1.21/x', release: '1.21' })]))
  expect(text).toContain('## Everyhop: ✅ 2 pass, ❌ 1 fail\n')
  expect(text).toContain('2 of 3 hops proven in 3 cases.')
  expect(text).toContain('| mode | mesh-to-mesh | probe |\n| --- | --- | --- |\n| inpod@today | ✅ 1 | ❌ 1 |\n| inpod@1.21 | ✅ 1 |  |\n')
})

test('folds each case that did not pass: hop, expected, seen, likely, packets, and the command', () => {
  const text = summaryMarkdown(sampleResults([sampleCase(), failedCase()]))
  expect(text.match(/<details>/g)).toHaveLength(1)
  for (const part of [
    '<summary>❌ inpod/probe/same-node/pod-ip/http: broken at “runs over lo”</summary>',
    '- **broken at**: `app-ztunnel/runs-over-lo (one/demo.a/lo)`',
    '- **expected**: `` a|b `c` ``',
    '- **likely**: `rule "-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -j REDIRECT"`',
    "```sh\nnpm start -- --case 'inpod/probe/same-node/pod-ip/http'\n```",
  ])
    expect(text).toContain(part)
})

test('a reason without a hop is cut in the folded line, and told whole below it', () => {
  const reason = `it is <odd> ${'and long '.repeat(30)}`
  const { brokenHop: _, ...rest } = failedCase()
  const text = summaryMarkdown(sampleResults([{ ...rest, verdict: 'inconclusive', reason }]))
  expect(text).toMatch(/<summary>❔ inpod\/probe\/same-node\/pod-ip\/http: it is &lt;odd&gt; (and long )+.*…<\/summary>/)
  expect(text).toContain(`- **because**: \`${reason}\``)
})

test('cells that were not run, notes and problems are told', () => {
  const text = summaryMarkdown(
    sampleResults([sampleCase()], {
      notRun: [{ id: 'inpod/y', mode: 'inpod', release: 'today', reason: 'over the budget' }],
      notes: ['a_file: cut'],
    }),
    ['no disk'],
  )
  expect(text).toContain('⏭️ 1 not run — the run did not go well')
  expect(text).toContain('<summary>1 cells were not run</summary>\n\n- over the budget: `inpod/y`')
  expect(text).toContain('- **problem**: no disk\n- note: a\\_file: cut')
})

test('stays within what GitHub takes, and says how many cases it left out', () => {
  const many = Array.from({ length: 3000 }, (_, i) => failedCase({ id: `inpod/x/${i}`, likely: 'ü'.repeat(300) }))
  const text = summaryMarkdown(sampleResults(many))
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1 << 20)
  expect(Buffer.byteLength(text)).toBeGreaterThan(900_000)
  const shown = text.match(/<details>/g)!.length
  expect(text).toContain(`…and ${3000 - shown} more that have no room here`)
})

test('nothing judged is said', () => {
  expect(summaryMarkdown(sampleResults([]))).toContain('## Everyhop: nothing was judged')
})
