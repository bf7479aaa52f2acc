import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import type { RunDifference } from '../../diff/runs.ts'
import type { Story } from '../../explain/story.ts'
import type { MainJob } from './command.ts'
import { resultsOfJob } from './results.ts'
import { cli } from './stand-in-host.ts'

const everyhop = async (...args: string[]) => {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [...cli, ...args], { reject: false })
  return { code: exitCode, stdout, stderr }
}

/** `explain` and `diff`, over the evidence of a real run and of one that is changed in one place. */
export function toldClaims(job: () => MainJob, scratch: string): void {
  const id = 'inpod/mesh-to-mesh/other-node/cluster-ip/http'

  /** The run, with ztunnel's mark taken from the socket that the client's app was turned to. */
  function broken(): string {
    const copy = join(scratch, 'told-broken')
    cpSync(job().folder, copy, { recursive: true })
    const hops = resultsOfJob(job())
      .cases.find((c) => c.id === id)!
      .legs.flatMap((l) => l.hops)
    const [, file = '', line] = /^(.*)#L(\d+)$/.exec(hops.flatMap((h) => h.proofs).find((p) => p.kind === 'socket')!.ref!)!
    const path = join(copy, 'bundle/inpod-today', file)
    const lines = readFileSync(path, 'utf8').split('\n')
    lines[Number(line) - 1] = JSON.stringify({ ...JSON.parse(lines[Number(line) - 1]!), mark: 0 })
    writeFileSync(path, lines.join('\n'))
    return copy
  }

  test('explain tells a request from its client to its end, each hop with what was seen of it', async () => {
    const { code, stdout } = await everyhop('explain', 'mesh-to-mesh/other-node/cluster-ip/http', job().folder)
    expect(code).toBe(0)
    const words = stdout.replaceAll(/\s+/g, ' ')
    expect(words).toContain(`${id}: pass, it took its path`)
    expect(words).toMatch(
      /The client is pod sleep-one-\w of namespace demo on node one, which belongs to the mesh as spiffe:\/\/cluster\.local\//,
    )
    expect(words).toMatch(/The client asks 10\.96\.\d+\.\d+:80 \(http\), the address of a service; behind it is 10\.244\.\d+\.\d+:8080/)
    for (const leg of [
      '1. app → ztunnel (readable here)',
      '2. ztunnel → ztunnel (HBONE) (must not be readable here)',
      '3. ztunnel → app (readable here)',
    ])
      expect(words).toContain(leg)
    expect(words).toMatch(
      /\+\d+\.\d\d ms the first packet \(SYN\) 10\.244\.\d+\.\d+:\d+ → 127\.0\.0\.1:15001 goes out \[evidence\/one\/packets\.pcapng#p\d+\]/,
    )
    expect(stdout).toContain('-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001')
    expect(words).toContain("the node's end of the cable to sleep-one-")
    // Rules, references and log lines stand as they are; words keep to the width.
    for (const line of stdout.split('\n'))
      if (/^ {0,4}[A-Z]/.test(line) && !line.startsWith('Run it again')) expect(line.length, line).toBeLessThanOrEqual(120)
  })

  test('explain as data: every hop and every proof of the verdict, with times that grow along a connection', async () => {
    const { stdout } = await everyhop('explain', id, job().folder, '--json')
    const story = JSON.parse(stdout) as Story
    const c = resultsOfJob(job()).cases.find((x) => x.id === id)!
    expect(story.legs.flatMap((l) => l.hops.map((h) => h.id))).toEqual(c.legs.flatMap((l) => l.hops.map((h) => h.id)))
    const refs = (hops: readonly { refs: readonly (string | undefined)[] }[]) => hops.map((h) => h.refs)
    expect(refs(story.legs.flatMap((l) => l.hops.map((h) => ({ refs: h.facts.map((f) => f.ref) }))))).toEqual(
      refs(c.legs.flatMap((l) => l.hops.map((h) => ({ refs: h.proofs.map((p) => p.ref) })))),
    )
    const times = story.legs.flatMap((l) => l.hops.flatMap((h) => h.facts.filter((f) => f.text.includes('(SYN)')).map((f) => f.atMs!)))
    expect(times.length).toBeGreaterThan(5)
    expect(times[0]).toBeGreaterThanOrEqual(-1)
    for (const hop of story.legs.flatMap((l) => l.hops)) expect(hop.means, `words for "${hop.title}"`).toBeTypeOf('string')
    expect(times.at(-1)! - times[0]!).toBeLessThan(5000)
  })

  test('a broken one is told where it broke; diff names the case, the hop, and nothing else', async () => {
    const copy = broken()
    const told = await everyhop('explain', id, copy)
    expect(told.code).toBe(1)
    const words = told.stdout.replaceAll(/\s+/g, ' ')
    expect(words).toContain(`${id}: fail, it did not take its path Because: is answered by ztunnel: `)
    expect(words).toMatch(/✗ 1\.3 is answered by ztunnel in pod sleep-one-\w on node one, loopback device lo Here it broke\./)
    expect(words).toMatch(/expected: socket 127\.0\.0\.1:15001 ↔ \S+ with mark 0x539 in \S+; seen instead: .* mark 0x0/)
    const { code, stdout } = await everyhop('diff', job().folder, copy, '--json')
    expect(code).toBe(1)
    const difference = JSON.parse(stdout) as RunDifference
    expect(difference.changed.map((c) => [c.id, c.before, c.after, c.hops.map((h) => `${h.id} ${h.before} ${h.after}`)])).toEqual([
      [id, 'pass', 'fail', ['app-ztunnel/is-answered-by-ztunnel pass fail']],
    ])
    expect([difference.added, difference.gone]).toEqual([[], []])
    expect((await everyhop('diff', copy, job().folder)).code).toBe(0)
  }, 60_000)

  test('a name that means several cases, or none, lists them and ends with 2', async () => {
    const several = await everyhop('explain', 'mesh-to-plain/**', job().folder)
    expect(several).toMatchObject({ code: 2, stdout: '' })
    expect(several.stderr).toMatch(/^everyhop: 2 cases of \S+ match mesh-to-plain\/\*\*; name one:\n {2}inpod\/mesh-to-plain\//)
    const none = await everyhop('explain', 'nothing', job().folder)
    expect(none.code).toBe(2)
    expect(none.stderr.split('\n').length).toBe(resultsOfJob(job()).cases.length + 1)
  })
}
