import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('../../plugin/main.ts', import.meta.url))

/**
 * What is installed as the CNI plugin: text of an executable that runs the plugin with this very Node.
 * @param cache directory of Node's compile cache, if the agent has one: it halves the plugin's start
 */
export function pluginFile(cache = process.env.NODE_COMPILE_CACHE): string {
  // Without V8's background threads: joining them at the end can hang (sourceware bug 25847), and an ADD with it.
  const quote = (path: string) => `'${path.replaceAll("'", `'\\''`)}'`
  const setting = cache ? `NODE_COMPILE_CACHE=${quote(cache)} ` : ''
  return `#!/bin/sh\n${setting}exec ${quote(process.execPath)} --v8-pool-size=0 ${quote(source)} "$@"\n`
}
