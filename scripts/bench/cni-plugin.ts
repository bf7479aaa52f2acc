import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundle } from '../../clusters/bundle.ts'
import { meshImages } from '../../clusters/images.ts'
import { contextOf } from '../../clusters/kind/images/build-images.ts'
import { kubeconfig } from '../../images/cni/agent/install/kubeconfig.ts'
import { fakeApi } from '../../images/cni/testing/fake-api.ts'
import { inPairs, median, type Part } from './part.ts'

/** ADDs of each program in a round. */
const perRound = 25
/** Own time of an ADD of an enrolled pod at the 95th percentile, milliseconds. */
const goal = 60

/** When what of one ADD happened, milliseconds since it was started. */
interface Add {
  /** The agent has the event: the program runs, and knows pod and namespace from the API server. */
  readonly asked: number
  readonly answered: number
  readonly ended: number
}

const own = ({ asked, answered, ended }: Add) => ended - (answered - asked)

/** The plugin as it is put on a node, against the same source on Node: both ask an API server over TLS and an agent that answers at once. */
export const cniPlugin: Part = {
  about: `the CNI plugin on the node against the same on Node: own time of an ADD, ${perRound} of each a round; goal 60 ms at the 95th percentile`,
  async run({ rounds, say, signal }) {
    const folder = mkdtempSync(join(tmpdir(), 'everyhop-bench-'))
    const runDirectory = join(folder, 'run')
    mkdirSync(runDirectory)
    const api = await fakeApi(folder)
    let asked = 0
    let answered = 0
    const agent = createServer(async (request, response) => {
      asked = performance.now()
      for await (const _ of request);
      response.end(() => {
        answered = performance.now()
      })
    })
    try {
      await new Promise<void>((resolve) => agent.listen(join(runDirectory, 'pluginevent.sock'), resolve))
      writeFileSync(
        join(runDirectory, 'istio-cni-kubeconfig'),
        kubeconfig(api.serviceAccountDir, { host: '127.0.0.1', port: String(api.port) }),
      )
      api.put('namespaces', { metadata: { name: 'demo', labels: { 'istio.io/dataplane-mode': 'ambient' } } })
      api.put('pods', { metadata: { name: 'web', namespace: 'demo' }, spec: { containers: [{ name: 'c' }] } })
      const context = await contextOf(meshImages.find((image) => image.source === 'images/cni')!)
      await bundle({ 'plugin.mjs': 'images/cni/plugin/main.ts' }, folder)
      const programs = {
        'on the node': [join(context.directory, 'context/istio-cni')],
        'on Node': [process.execPath, '--v8-pool-size=0', join(folder, 'plugin.mjs')],
      }
      const add = async (argv: readonly string[]): Promise<Add> => {
        signal.throwIfAborted()
        asked = 0
        const started = performance.now()
        await run(argv, runDirectory)
        const ended = performance.now() - started
        if (asked === 0) throw new Error(`${argv.join(' ')} asked the agent nothing`)
        return { asked: asked - started, answered: answered - started, ended }
      }
      const some = async (argv: readonly string[]) => {
        const adds: Add[] = []
        for (let i = 0; i < perRound; i++) adds.push(await add(argv))
        say(`${argv[0]}: ${percentile(adds.map(own), 0.95).toFixed(1)} ms at the 95th percentile`)
        return adds
      }
      for (const argv of Object.values(programs)) await add(argv)
      const pairs = await inPairs(
        rounds,
        signal,
        () => some(programs['on the node']),
        () => some(programs['on Node']),
      )
      const [ours, nodes] = [pairs.flatMap(([a]) => a), pairs.flatMap(([, b]) => b)]
      const p95 = percentile(ours.map(own), 0.95)
      return {
        lines: [line('on the node', ours), line('on Node', nodes)],
        figures: { adds: { ours, nodes }, p95 },
        goals: [{ goal: `own time of an ADD at most ${goal} ms at the 95th percentile`, met: p95 <= goal }],
      }
    } finally {
      agent.closeAllConnections()
      agent.close()
      await api.close()
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

function line(name: string, adds: readonly Add[]): string {
  const of = (part: (add: Add) => number) => median(adds.map(part)).toFixed(1)
  const steps = `start and API server ${of((a) => a.asked)}, agent ${of((a) => a.answered - a.asked)}, end ${of((a) => a.ended - a.answered)}`
  const times = adds.map(own)
  return `${name}: ${adds.length} ADDs, own time median ${median(times).toFixed(1)} ms, 95th percentile ${percentile(times, 0.95).toFixed(1)} ms (medians: ${steps})`
}

function percentile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * part) - 1]!
}

/** One ADD. @throws Error with what the plugin said */
async function run([program = '', ...args]: readonly string[], runDirectory: string): Promise<void> {
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: 'abc',
      CNI_NETNS: '/var/run/netns/cni-1',
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/opt/cni/bin',
      CNI_ARGS: 'K8S_POD_NAMESPACE=demo;K8S_POD_NAME=web',
    },
  })
  const conf = { cniVersion: '1.0.0', name: 'bench', type: 'istio-cni', ambient_enabled: true, cni_agent_run_dir: runDirectory }
  const prevResult = { cniVersion: '1.0.0', ips: [{ address: '10.244.1.5/24', gateway: '10.244.1.1' }] }
  child.stdin.end(JSON.stringify({ ...conf, prevResult }))
  let said = ''
  child.stdout.on('data', (data) => {
    said += data
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${said}`)
}
