import { TextServer } from '../../lib/text-server.ts'

/** The health port: `/healthz` while the agent runs, `/readyz` when pods can be enrolled. */
export class Health extends TextServer {
  ready = false

  constructor() {
    super({
      '/healthz': () => ({ status: 200, text: 'ok\n' }),
      '/readyz': () => (this.ready ? { status: 200, text: 'ok\n' } : { status: 503, text: 'not ready\n' }),
    })
  }
}
