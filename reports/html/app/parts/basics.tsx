import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { verdictWords } from '../model/words.ts'

const symbols: Readonly<Record<string, string>> = {
  pass: '✓',
  proven: '✓',
  fail: '✕',
  contradicted: '✕',
  inconclusive: '?',
  missing: '?',
  unsupported: '–',
  error: '!',
}

export const symbolOf = (verdict: string): string => symbols[verdict] ?? '·'

/** A verdict as a sign: told by its shape and its name, not by its colour alone. */
export const Mark = ({ verdict, quiet }: { verdict: string; quiet?: boolean }) => (
  <span class={`mark ${verdict}`} role="img" aria-label={verdictWords[verdict] ?? verdict} aria-hidden={quiet}>
    {symbolOf(verdict)}
  </span>
)

/** Something to copy, with the button that does it. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false)
  const copy = async () => {
    await copyText(text)
    setDone(true)
    setTimeout(() => setDone(false), 1500)
  }
  return (
    <span class="copy">
      <code>{text}</code>
      <button type="button" onClick={copy} aria-label={`copy ${label}`}>
        {done ? 'copied' : 'copy'}
      </button>
    </span>
  )
}

/** The clipboard of pages from disk is not always allowed: then by way of a selection. */
async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    const area = document.createElement('textarea')
    area.value = text
    document.body.append(area)
    area.select()
    document.execCommand('copy')
    area.remove()
  }
}

/** Names with their values. */
export const Pairs = ({ of }: { of: readonly (readonly [string, ComponentChildren])[] }) => (
  <dl class="pairs">
    {of.map(([name, value]) => (
      <div key={name}>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </div>
    ))}
  </dl>
)

export const Key = ({ children }: { children: ComponentChildren }) => <kbd>{children}</kbd>
