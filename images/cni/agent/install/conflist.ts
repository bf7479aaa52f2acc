import { isObject, sortKeys } from './json.ts'

export const pluginName = 'istio-cni'
const standaloneVersion = '0.3.1'

/** A network configuration that cannot be used; the message says what is wrong with it. */
export class ConfError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ConfError'
  }
}

type Conf = Record<string, unknown>

/**
 * Checks the text of a `.conf` or `.conflist` file as container runtimes do.
 * @throws ConfError
 */
export function parseConf(text: string, fileName: string): Conf {
  let conf: unknown
  try {
    conf = JSON.parse(text)
  } catch (error) {
    throw new ConfError(`${fileName}: no JSON: ${(error as Error).message}`)
  }
  if (!isObject(conf)) throw new ConfError(`${fileName}: expected a JSON object`)
  if (fileName.endsWith('.conflist')) {
    if (typeof conf.name !== 'string' || conf.name === '') throw new ConfError(`${fileName}: "name" is missing`)
    if (!Array.isArray(conf.plugins) || conf.plugins.length === 0) throw new ConfError(`${fileName}: "plugins" is missing or empty`)
    if (!conf.plugins.every((p) => isObject(p) && typeof p.type === 'string'))
      throw new ConfError(`${fileName}: each entry of "plugins" must have a "type"`)
  } else if (typeof conf.type !== 'string') throw new ConfError(`${fileName}: "type" is missing (a list must be called .conflist)`)
  return conf
}

/**
 * The configuration with our plugin as the last of its chain; whatever entry of ours was there is replaced, all else stays.
 * A plain `.conf` becomes a list.
 * @returns text, with keys sorted as upstream writes them, and the name that the file must have
 */
export function chain(text: string, fileName: string, entry: Conf): { text: string; fileName: string } {
  const conf = parseConf(text, fileName)
  if (!fileName.endsWith('.conflist')) {
    const { cniVersion: _, ...plugin } = conf
    const list = { name: 'k8s-pod-network', cniVersion: standaloneVersion, plugins: [plugin, entry] }
    return { text: format(list), fileName: fileName.replace(/\.conf$/, '.conflist') }
  }
  const others = (conf.plugins as Conf[]).filter((p) => p.type !== pluginName)
  return { text: format({ ...conf, plugins: [...others, entry] }), fileName }
}

/** The configuration without our plugin; undefined: nothing would be left. The very same text if there is none of ours. @throws ConfError */
export function unchain(text: string, fileName: string): string | undefined {
  const conf = parseConf(text, fileName)
  if (!fileName.endsWith('.conflist')) return conf.type === pluginName ? undefined : text
  const plugins = conf.plugins as Conf[]
  const others = plugins.filter((p) => p.type !== pluginName)
  if (others.length === plugins.length) return text
  return others.length === 0 ? undefined : format({ ...conf, plugins: others })
}

function format(conf: Conf): string {
  return `${JSON.stringify(sortKeys(conf), null, 2)}\n`
}
