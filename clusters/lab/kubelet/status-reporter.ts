import type { PodStatus } from './pod.ts'

/** Sends a pod's status when it has changed: one report at a time, and always the newest. */
export class StatusReporter {
  private readonly compute: (former: PodStatus | undefined) => PodStatus
  private readonly send: (status: PodStatus) => Promise<void>
  private former: PodStatus | undefined
  private sent = ''
  private wanted = false
  private closed = false
  private sending: Promise<void> | undefined

  constructor(compute: (former: PodStatus | undefined) => PodStatus, send: (status: PodStatus) => Promise<void>) {
    this.compute = compute
    this.send = send
  }

  /** Something that the status is made of may have changed. Reported after the current turn of the event loop. */
  changed(): void {
    this.wanted = true
    this.sending ??= this.report().finally(() => {
      this.sending = undefined
    })
  }

  /** Resolves when the newest status was sent. */
  async flush(): Promise<void> {
    while (this.sending) await this.sending
  }

  /** Nothing is sent any more. */
  close(): void {
    this.closed = true
  }

  private async report(): Promise<void> {
    await Promise.resolve()
    while (this.wanted && !this.closed) {
      this.wanted = false
      try {
        const status = this.compute(this.former)
        const text = JSON.stringify(status)
        if (text === this.sent) continue
        await this.send(status)
        this.sent = text
        this.former = status
      } catch {
        // The next change tries again; the object may be gone.
      }
    }
  }
}
