import { readFileSync } from 'node:fs'
import { add, pluginConf } from './add.ts'
import { PluginLog } from './log.ts'
import { addResult, errorResult, type Invocation, readInvocation, readVerb, versionResult } from './protocol.ts'

/** Runs one CNI invocation; what it returns is printed on stdout. */
async function invoke(invocation: Invocation): Promise<unknown> {
  // Deletion is learnt from the Kubernetes API; DEL must work whatever the configuration, or pods could not be deleted.
  if (invocation.verb === 'DEL' || invocation.verb === 'CHECK' || invocation.verb === 'GC') return undefined
  const conf = pluginConf(invocation.conf)
  // STATUS does not ask for the agent: a node whose agent is not up yet must be able to start the agent's pod.
  if (invocation.verb === 'STATUS') return undefined
  const log = new PluginLog(conf.runDirectory, conf.logLevel)
  try {
    await add(invocation, conf, log)
    return addResult(invocation.conf)
  } catch (error) {
    const { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name } = invocation.args
    log.log('error', (error as Error).message, { pod: `${namespace}/${name}` })
    throw error
  } finally {
    await log.flush()
  }
}

let cniVersion = '1.1.0'
try {
  const verb = readVerb(process.env)
  if (verb === 'VERSION') print(versionResult())
  else {
    const invocation = readInvocation(verb, process.env, readFileSync(0, 'utf8'))
    cniVersion = invocation.conf.cniVersion
    const result = await invoke(invocation)
    if (result !== undefined) print(result)
  }
} catch (error) {
  print(errorResult(error, cniVersion))
  process.exitCode = 1
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
