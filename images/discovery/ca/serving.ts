import { generateKeyPairSync } from 'node:crypto'
import { ServerCredentials } from '@grpc/grpc-js'
import { type Ca, signLeaf } from '../../lib/ca.ts'
import type { Log } from '../log.ts'

/** The server's side of TLS: a certificate of the mesh's CA for our own names, replaced at half of its life without a connection being lost. */
export class ServingCredentials extends ServerCredentials {
  readonly #names: readonly string[]
  readonly #ttl: number
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined

  private constructor(names: readonly string[], ttl: number, log: Log) {
    super({})
    this.#names = names
    this.#ttl = ttl
    this.#log = log
  }

  /** @param ttl milliseconds */
  static async create(ca: () => Ca, names: readonly string[], ttl: number, log: Log): Promise<ServingCredentials> {
    const made = new ServingCredentials(names, ttl, log)
    await made.#renew(ca)
    return made
  }

  async #renew(ca: () => Ca): Promise<void> {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const authority = ca()
    const names = this.#names.map((value) => ({ type: 'dns', value }) as const)
    const { chainPem, notBefore, notAfter } = await signLeaf(authority, { publicKey, names, ttl: this.#ttl })
    this.updateSecureContextOptions({
      cert: chainPem,
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      minVersion: 'TLSv1.2',
    })
    this.#log.info('serving certificate made', { names: this.#names.join(','), until: notAfter.toISOString() })
    const half = (notBefore.getTime() + notAfter.getTime()) / 2 - Date.now()
    // A timer holds at most 2^31 ms.
    this.#timer = setTimeout(
      () => this.#renew(ca).catch((error: Error) => this.#log.error('the serving certificate was not renewed', { error: error.message })),
      Math.max(1000, Math.min(half, 2 ** 31 - 1)),
    ).unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other
  }
}
