/** What a Dockerfile of ours says: the base, what is copied onto it, and how a container is started. */
export interface Recipe {
  /** Reference of the base image: the default of the argument that FROM names. */
  readonly base: string
  /** One layer each. Sources are paths in the build context; a target that ends in `/` is a directory. */
  readonly copies: readonly { readonly sources: readonly string[]; readonly target: string }[]
  readonly config: ImageConfig
}

/** Of the OCI image configuration (image-spec, config.md), what our Dockerfiles set. */
export interface ImageConfig {
  readonly Entrypoint: readonly string[]
  readonly Env: readonly string[]
  readonly User: string
}

/** A Dockerfile holds something that our builder does not do; names file, line and what can be used. */
export class DockerfileError extends Error {
  override name = 'DockerfileError'
}

/**
 * Reads the small part of the Dockerfile language that our images need: `ARG NAME=DEFAULT`, `FROM ${NAME}`, `COPY SOURCE… TARGET`, `ENV NAME=VALUE`,
 * `USER ID[:ID]`, `ENTRYPOINT ["…"]`, comments. Anything else is an error: what Docker would do with it and we would not must not go unseen.
 * @param file for messages
 */
export function readDockerfile(text: string, file: string): Recipe {
  const fail = (line: number, problem: string): never => {
    throw new DockerfileError(`${file}:${line}: ${problem}`)
  }
  const args = new Map<string, string>()
  const copies: { sources: string[]; target: string }[] = []
  const Env: string[] = []
  let base: string | undefined
  let User = ''
  let Entrypoint: string[] | undefined
  for (const [index, row] of text.split('\n').entries()) {
    const line = index + 1
    if (/^\s*(#|$)/.test(row)) continue
    const [, word = '', rest = ''] = /^(\S+)\s+(.*?)\s*$/.exec(row) ?? fail(line, `cannot be read: ${JSON.stringify(row)}`)
    if (rest.endsWith('\\')) fail(line, 'write each instruction on one line')
    if (base === undefined && word !== 'ARG' && word !== 'FROM') fail(line, `${word} stands before FROM`)
    switch (word) {
      case 'ARG': {
        const [, name = '', value = ''] = /^(\w+)=(\S+)$/.exec(rest) ?? fail(line, 'ARG needs a default: ARG NAME=VALUE')
        if (base !== undefined) fail(line, 'arguments stand before FROM')
        args.set(name, value)
        break
      }
      case 'FROM': {
        if (base !== undefined) fail(line, 'one FROM only')
        const name =
          /^\$\{(\w+)\}$/.exec(rest)?.[1] ?? fail(line, 'expected FROM with the NAME of an ARG NAME=DEFAULT above, as a variable in braces')
        base = args.get(name) ?? fail(line, `there is no ARG ${name} above`)
        break
      }
      case 'COPY': {
        const words = rest.split(/\s+/)
        if (words.length < 2 || rest.startsWith('-') || rest.startsWith('[')) fail(line, 'expected COPY SOURCE… TARGET, without options')
        const target = words.pop()!
        if (!target.startsWith('/')) fail(line, 'the target must be an absolute path')
        if (words.length > 1 && !target.endsWith('/')) fail(line, 'several sources need a target that ends in /')
        copies.push({ sources: words, target })
        break
      }
      case 'ENV':
        if (!/^\w+=[^\s"'$]+$/.test(rest)) fail(line, 'expected one ENV NAME=VALUE, without quotes or variables')
        Env.push(rest)
        break
      case 'USER':
        if (!/^\d+(:\d+)?$/.test(rest)) fail(line, 'USER must be a number: Kubernetes cannot tell from a name that it is not root')
        User = rest
        break
      case 'ENTRYPOINT':
        Entrypoint = words(rest) ?? fail(line, 'expected ENTRYPOINT ["PROGRAM", "ARGUMENT", …]')
        break
      default:
        fail(line, `${word} is not supported: use ARG, FROM, COPY, ENV, USER or ENTRYPOINT`)
    }
  }
  if (base === undefined) throw new DockerfileError(`${file}: there is no FROM`)
  if (!Entrypoint) throw new DockerfileError(`${file}: there is no ENTRYPOINT`)
  return { base, copies, config: { Entrypoint, Env, User } }
}

function words(text: string): string[] | undefined {
  try {
    const list: unknown = JSON.parse(text)
    return Array.isArray(list) && list.length > 0 && list.every((word) => typeof word === 'string') ? list : undefined
  } catch {
    return undefined
  }
}
