import { styleText } from 'node:util'

/** Where a run tells what it is doing: one line that is rewritten on a terminal, a line each elsewhere. */
export class ProgressView {
  readonly #stream: NodeJS.WriteStream
  readonly #started = performance.now()
  /** How long the same command took last time, milliseconds. */
  readonly #expected: number | undefined
  #line = ''

  constructor(stream: NodeJS.WriteStream, expected?: number) {
    this.#stream = stream
    this.#expected = expected
  }

  /** Something of its own line: a stage that is done. */
  say(text: string): void {
    this.#clear()
    this.#stream.write(`${this.#clock()}  ${text}\n`)
  }

  /** What is being done right now; shown on a terminal only. */
  doing(text: string): void {
    if (!this.#stream.isTTY) return
    const left =
      this.#expected === undefined
        ? ''
        : `, about ${Math.max(1, Math.round((this.#expected - (performance.now() - this.#started)) / 1000))} s left`
    this.#clear()
    this.#line = `${this.#clock()}  ${text}${left}`.slice(0, (this.#stream.columns || 80) - 1)
    this.#stream.write(styleText('dim', this.#line, { validateStream: false }))
  }

  end(): void {
    this.#clear()
  }

  #clear(): void {
    if (!this.#line) return
    this.#stream.write('\r\x1b[K')
    this.#line = ''
  }

  #clock(): string {
    return `${((performance.now() - this.#started) / 1000).toFixed(1).padStart(6)} s`
  }
}
