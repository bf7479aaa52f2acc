import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('../../plugin/main.ts', import.meta.url))

/**
 * What is installed as the CNI plugin.
 * @param file an executable that needs nothing of the node, as the agent's image has one; without it a script that runs the plugin's source with this very
 * Node, which must be there under the same paths for whoever calls the plugin
 * @throws Error that names the file if it cannot be read
 */
export function pluginFile(file: string | undefined): Buffer {
  return file === undefined ? Buffer.from(script(process.env.NODE_COMPILE_CACHE)) : readFileSync(file)
}

/** @param cache directory of Node's compile cache, if the agent has one: it halves the plugin's start */
function script(cache: string | undefined): string {
  // Without V8's background threads: joining them at the end can hang (sourceware bug 25847), and an ADD with it.
  const quote = (path: string) => `'${path.replaceAll("'", `'\\''`)}'`
  const setting = cache ? `NODE_COMPILE_CACHE=${quote(cache)} ` : ''
  return `#!/bin/sh\n${setting}exec ${quote(process.execPath)} --v8-pool-size=0 ${quote(source)} "$@"\n`
}
