import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Part } from './part.ts'
import { median } from './part.ts'
import { type Path, Paths } from './ztunnel-paths.ts'

const run = promisify(execFile)
const connections = 32

/** What one path did in one round. Requests and bits a second; latencies in milliseconds. */
interface Figures {
  readonly requests: number
  readonly p50: number
  readonly p99: number
  readonly up: number
  readonly down: number
}
type Figure = keyof Figures

const goals: Partial<Record<Figure, number>> = { requests: 0.75, up: 0.5, down: 0.5 }

/** ztunnel → ztunnel against haproxy → haproxy over the same hops, and the memory of an enrolled pod. */
export const ztunnel: Part = {
  about: `requests, latency and bulk through two ztunnels against two haproxies over the same hops, ${connections} connections; memory of an enrolled pod`,
  async run({ rounds, seconds, say, signal }) {
    const paths = new Paths()
    try {
      const both = await paths.open()
      for (const path of both) await measure(paths, path, 1)
      const all: { order: string[]; ztunnel: Figures; haproxy: Figures }[] = []
      for (let i = 0; i < rounds; i++) {
        const order = i % 2 === 0 ? both : [both[1], both[0]]
        const figures: Record<string, Figures> = {}
        for (const path of order) {
          signal.throwIfAborted()
          figures[path.name] = await measure(paths, path, seconds)
          say(`round ${i + 1} of ${rounds}: ${path.name}: ${line(figures[path.name]!)}`)
        }
        all.push({ order: order.map((p) => p.name), ztunnel: figures.ztunnel!, haproxy: figures.haproxy! })
      }
      const memory = await memoryOfPods(paths, say)
      const names = Object.keys(all[0]!.ztunnel) as Figure[]
      const each = names.map((name) => {
        const of = (who: 'ztunnel' | 'haproxy') => median(all.map((r) => r[who][name]))
        // Of the rounds' ratios, since a machine's speed changes from round to round.
        const ratio = median(all.map((r) => r.ztunnel[name] / r.haproxy[name]))
        return { name, ztunnel: of('ztunnel'), haproxy: of('haproxy'), ratio, goal: goals[name] }
      })
      const lines = [
        `medians of ${rounds} paired rounds, ${connections} connections, ${seconds} s each`,
        ...each.map(
          ({ name, ztunnel: a, haproxy: b, ratio }) =>
            `${name.padEnd(9)} ztunnel ${shown(name, a)}  haproxy ${shown(name, b)}  ratio ${ratio.toFixed(2)}`,
        ),
        `memory of an enrolled pod: ${memory.perPodKiB.toFixed(0)} KiB (RSS ${memory.samples.map((s) => `${s.pods} pods ${(s.rssKiB / 1024).toFixed(1)} MiB`).join(', ')})`,
      ]
      return {
        lines,
        figures: { connections, seconds, rounds: all, medians: each, memory },
        goals: each.flatMap(({ name, ratio, goal }) =>
          goal === undefined ? [] : [{ goal: `${name}: at least ${goal} times haproxy's`, met: ratio >= goal }],
        ),
      }
    } finally {
      await paths.close()
    }
  },
}

const shown = (name: Figure, value: number) =>
  name === 'requests'
    ? `${value.toFixed(0)}/s`
    : name === 'p50' || name === 'p99'
      ? `${value.toFixed(2)} ms`
      : `${(value / 1e9).toFixed(2)} Gbit/s`
const line = (f: Figures) => (Object.keys(f) as Figure[]).map((name) => `${name} ${shown(name, f[name])}`).join(', ')

async function measure(paths: Paths, path: Path, seconds: number): Promise<Figures> {
  const tool = async (...argv: string[]) => {
    const [command, args] = paths.bed.wrap(path.client, argv)
    return (await run(command, args, { maxBuffer: 64 << 20 })).stdout
  }
  const wrk = await tool('wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', path.http)
  const found = (pattern: RegExp) => {
    const match = pattern.exec(wrk)
    if (!match) throw new Error(`wrk over ${path.name} did not say what is expected (${pattern}):\n${wrk}`)
    return match
  }
  if (/Socket errors|Non-2xx/.test(wrk)) throw new Error(`wrk over ${path.name} had errors:\n${wrk}`)
  const latency = (percent: string) => {
    const [, value, unit] = found(new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`))
    return Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit as 'us']
  }
  const bulk = async (...direction: string[]) => {
    await paths.bulkServerFree(path)
    const out = await tool('iperf3', '-c', path.bulk.host, '-p', String(path.bulk.port), '-t', String(seconds), '-J', ...direction)
    const { end, error } = JSON.parse(out) as { error?: string; end: { sum_received: { bits_per_second: number } } }
    if (error) throw new Error(`iperf3 over ${path.name}: ${error}`)
    return end.sum_received.bits_per_second
  }
  return {
    requests: Number(found(/Requests\/sec:\s+([\d.]+)/)[1]),
    p50: latency('50'),
    p99: latency('99'),
    up: await bulk(),
    down: await bulk('-R'),
  }
}

const steps = [0, 50, 100]

/** The slope of a ztunnel's resident memory over the pods that it was given. */
async function memoryOfPods(
  paths: Paths,
  say: (line: string) => void,
): Promise<{ perPodKiB: number; samples: { pods: number; rssKiB: number }[] }> {
  const lines = Array.from(
    { length: steps.at(-1)! },
    (_, i) => `  - { uid: m${i}, name: m${i}, namespace: demo, serviceAccount: m${i}, workloadIps: [10.81.0.${i + 1}], protocol: HBONE }\n`,
  )
  const ztunnel = await paths.ztunnel(paths.bed.pod('zm', '10.80.0.20', false), `workloads:\n${lines.join('')}`)
  const agent = await ztunnel.agent()
  await agent.send({ snapshotSent: {} })
  const samples: { pods: number; rssKiB: number }[] = []
  for (let pods = 0; pods <= steps.at(-1)!; pods++) {
    if (pods > 0) {
      const pod = paths.bed.pod(`m${pods - 1}`, `10.81.0.${pods}`, false)
      const failure = await agent.add(pod, pod.name)
      if (failure) throw new Error(failure)
    }
    if (!steps.includes(pods)) continue
    // Certificates are made, garbage is not yet collected: what is resident now is what a node has to have.
    await new Promise((resolve) => setTimeout(resolve, 1000))
    samples.push({ pods, rssKiB: rss(ztunnel.pid) })
    say(`memory with ${pods} pods: ${(samples.at(-1)!.rssKiB / 1024).toFixed(1)} MiB`)
  }
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const [x, y] = [mean(samples.map((s) => s.pods)), mean(samples.map((s) => s.rssKiB))]
  const slope = samples.reduce((sum, s) => sum + (s.pods - x) * (s.rssKiB - y), 0) / samples.reduce((sum, s) => sum + (s.pods - x) ** 2, 0)
  return { perPodKiB: slope, samples }
}

function rss(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1])
}
