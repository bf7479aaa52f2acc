export interface Answer {
  readonly status: number
  readonly body: string
}

export interface Call {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly timeoutMs: number
}

/** What the plugin asks of whatever runs it: Node in the lab, an engine without an operating system's API where nothing may be installed. */
export interface Platform {
  /** A variable of the environment. */
  environment(name: string): string | undefined
  /** All of stdin. */
  input(): string
  /** Onto stdout. */
  print(text: string): void
  /** A file's text. @throws Error naming the path and the system's reason, such as ENOENT */
  read(path: string): string
  /** Adds to a file, which only its owner may read if it is new. @throws Error */
  append(path: string, text: string): void
  /** Bytes in a file, 0 if there is none. */
  size(path: string): number
  /** @throws Error */
  rename(from: string, to: string): void
  /** As `parse` of yaml. */
  parseYaml(text: string): Promise<unknown>
  pause(ms: number): Promise<void>
  /** One HTTP request over a UNIX stream socket. Rejects with the system's error, or after the time-out. */
  overUnixSocket(path: string, call: Call): Promise<Answer>
  /** One HTTPS request. @param ca PEM; undefined: the system's roots */
  overTls(host: string, port: string, ca: string | undefined, call: Call): Promise<Answer>
}
