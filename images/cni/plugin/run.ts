import { add, pluginConf } from './add.ts'
import { PluginLog } from './log.ts'
import type { Platform } from './platform.ts'
import { addResult, errorResult, type Invocation, readInvocation, readVerb, versionResult } from './protocol.ts'

/** Runs one CNI invocation; what it returns is printed on stdout. */
async function invoke(platform: Platform, invocation: Invocation): Promise<unknown> {
  // Deletion is learnt from the Kubernetes API; DEL must work whatever the configuration, or pods could not be deleted.
  if (invocation.verb === 'DEL' || invocation.verb === 'CHECK' || invocation.verb === 'GC') return undefined
  const conf = pluginConf(invocation.conf)
  // STATUS does not ask for the agent: a node whose agent is not up yet must be able to start the agent's pod.
  if (invocation.verb === 'STATUS') return undefined
  const log = new PluginLog(platform, conf.runDirectory, conf.logLevel)
  try {
    await add(platform, invocation, conf, log)
    return addResult(invocation.conf)
  } catch (error) {
    const { K8S_POD_NAMESPACE: namespace, K8S_POD_NAME: name } = invocation.args
    log.log('error', (error as Error).message, { pod: `${namespace}/${name}` })
    throw error
  } finally {
    await log.flush()
  }
}

/** The plugin: does what the environment and stdin ask for. @returns exit code */
export async function run(platform: Platform): Promise<number> {
  const print = (value: unknown) => platform.print(`${JSON.stringify(value)}\n`)
  let cniVersion = '1.1.0'
  try {
    const environment = Object.fromEntries(variables.map((name) => [name, platform.environment(name)]))
    const verb = readVerb(environment)
    if (verb === 'VERSION') print(versionResult())
    else {
      const invocation = readInvocation(verb, environment, platform.input())
      cniVersion = invocation.conf.cniVersion
      const result = await invoke(platform, invocation)
      if (result !== undefined) print(result)
    }
    return 0
  } catch (error) {
    print(errorResult(error, cniVersion))
    return 1
  }
}

const variables = ['CNI_COMMAND', 'CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH', 'CNI_ARGS']
