import { InpodRedirection } from './inpod/inpod.ts'
import type { Log, Redirection } from './redirection.ts'

/** What a mode may need from the agent's environment. */
export interface RedirectionOptions {
  readonly host: string
  readonly dnsCapture: boolean
  readonly ipv6: boolean
  readonly probeAddress: { readonly v4?: string | undefined; readonly v6?: string | undefined }
  readonly forceBackend?: string | undefined
  readonly log: Log
}

/** The modes by the value of AMBIENT_REDIRECT_MODE: the only place that knows them by name. */
export const modes: Readonly<Record<string, (options: RedirectionOptions) => Redirection>> = {
  inpod: (options) => new InpodRedirection(options),
}
