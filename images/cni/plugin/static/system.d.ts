/** What system.c gives to QuickJS. All functions wait until they are done, and throw the system's error. */
declare module 'system' {
  export function environment(name: string): string | undefined
  /** A file's text; of stdin, if the path is empty. */
  export function read(path: string): string
  /** Adds to a file; writes to stdout, if the path is empty. */
  export function append(path: string, text: string): void
  export function size(path: string): number
  export function rename(from: string, to: string): void
  export function pause(ms: number): void
  export function exit(code: number): never
  /** Sends a request over a UNIX socket. @returns what is answered until the other side closes */
  export function overUnix(path: string, request: string, ms: number): string
  /** The same over TLS. @param ca PEM; empty: the system's roots */
  export function overTls(host: string, port: string, ca: string, request: string, ms: number): string
}
