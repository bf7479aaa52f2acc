import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('../../plugin/main.ts', import.meta.url))

/** What is installed as the CNI plugin: text of an executable that runs the plugin with this very Node. */
export function pluginFile(): string {
  const quote = (path: string) => `'${path.replaceAll("'", `'\\''`)}'`
  return `#!/bin/sh\nexec ${quote(process.execPath)} ${quote(source)} "$@"\n`
}
