import { type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js'
import { type Ca, signLeaf, splitPem } from '../../lib/ca.ts'
import { formatIdentity } from '../../lib/identity.ts'
import type { IstioCertificateRequest, IstioCertificateResponseInit } from '../../lib/xds/messages.ts'
import { AuthenticationError, type Authenticator } from '../auth.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { CsrError, readCsr } from './csr.ts'
import type { NodeAuthorizer } from './node-authorizer.ts'

type Call = ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponseInit>

export interface CertificateServiceOptions {
  readonly authenticator: Pick<Authenticator, 'authenticate'>
  readonly nodes: NodeAuthorizer
  /** Asked for each certificate: the root may be renewed meanwhile. */
  readonly ca: () => Ca
  /** Milliseconds: what is given to those that ask for no time, and at most. */
  readonly defaultTtl: number
  readonly maxTtl: number
  readonly log: Log
  readonly metrics: Metrics
}

/** An error that the caller is told. */
class Refusal extends Error {
  readonly code: status
  constructor(code: status, message: string) {
    super(message)
    this.code = code
  }
}

/** `IstioCertificateService`: signs keys for the identity of whoever calls, or of a pod on the node of a node's proxy that calls. */
export class CertificateService {
  readonly #o: CertificateServiceOptions

  constructor(options: CertificateServiceOptions) {
    this.#o = options
    for (const name of ['csr_count', 'success_cert_issuance_count', 'authentication_failure_count', 'csr_sign_error_count'])
      options.metrics.count(`citadel_server_${name}`, {}, 0)
    options.metrics.gauge('citadel_server_root_cert_expiry_timestamp', {}, () => {
      return options.ca().certificate.validToDate.getTime() / 1000
    })
  }

  /** The method's handler. */
  readonly createCertificate = (call: Call, answer: sendUnaryData<IstioCertificateResponseInit>): void => {
    this.#create(call).then(
      (response) => answer(null, response),
      (error: Error) => {
        const { code, message } = error instanceof Refusal ? error : new Refusal(status.INTERNAL, 'the CA failed: see its log')
        if (!(error instanceof Refusal)) this.#o.log.error('the CA failed', { error: error.stack ?? error.message })
        answer({ code, details: message })
      },
    )
  }

  async #create(call: Call): Promise<IstioCertificateResponseInit> {
    const { log, metrics } = this.#o
    metrics.count('citadel_server_csr_count', {})
    const { csr, validityDuration, metadata } = call.request
    const impersonated = metadata?.ImpersonatedIdentity
    const identity = await this.#identity(call, typeof impersonated === 'string' && impersonated !== '' ? impersonated : undefined)
    const ca = this.#o.ca()
    try {
      const publicKey = await readCsr(csr, identity)
      const ttl = validityDuration > 0 ? Math.min(validityDuration * 1000, this.#o.maxTtl) : this.#o.defaultTtl
      const { chainPem, notAfter } = await signLeaf(ca, { publicKey, names: [{ type: 'url', value: formatIdentity(identity) }], ttl })
      metrics.count('citadel_server_success_cert_issuance_count', {})
      log.info('certificate signed', { client: call.getPeer(), identity: formatIdentity(identity), until: notAfter.toISOString() })
      // One each, and at the end the roots in one.
      return { certChain: [...splitPem(chainPem), ca.rootPem] }
    } catch (error) {
      metrics.count('citadel_server_csr_sign_error_count', {})
      if (!(error instanceof CsrError)) throw error
      log.warn('certificate refused', { client: call.getPeer(), identity: formatIdentity(identity), reason: error.message })
      throw new Refusal(status.INVALID_ARGUMENT, error.message)
    }
  }

  async #identity(call: Call, impersonated: string | undefined) {
    try {
      return this.#o.nodes.decide(await this.#o.authenticator.authenticate(call.metadata), impersonated)
    } catch (error) {
      if (!(error instanceof AuthenticationError)) throw error
      this.#o.metrics.count('citadel_server_authentication_failure_count', {})
      this.#o.log.warn('certificate refused', { client: call.getPeer(), reason: error.message })
      // Why is for the log: who may not ask need not know what there is.
      throw new Refusal(
        status.UNAUTHENTICATED,
        impersonated ? 'request impersonation authentication failure' : 'request authenticate failure',
      )
    }
  }
}
