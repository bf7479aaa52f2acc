import { useEffect, useState } from 'preact/hooks'
import type { Shared } from '../app.tsx'

type Theme = 'light' | 'dark'

/** As the reader chose, else as his system has it. */
function useTheme(): [Theme, () => void] {
  const [chosen, setChosen] = useState<Theme | undefined>(() => stored())
  const [system, setSystem] = useState<Theme>(() => (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'))
  useEffect(() => {
    const media = matchMedia('(prefers-color-scheme: dark)')
    const changed = () => setSystem(media.matches ? 'dark' : 'light')
    media.addEventListener('change', changed)
    return () => media.removeEventListener('change', changed)
  }, [])
  useEffect(() => {
    if (chosen) document.documentElement.dataset.theme = chosen
  }, [chosen])
  const theme = chosen ?? system
  const toggle = () => {
    const next = theme === 'dark' ? 'light' : 'dark'
    setChosen(next)
    try {
      localStorage.setItem('everyhop-theme', next)
    } catch {}
  }
  return [theme, toggle]
}

/** A page from disk may have no storage. */
function stored(): Theme | undefined {
  try {
    const found = localStorage.getItem('everyhop-theme')
    return found === 'dark' || found === 'light' ? found : undefined
  } catch {
    return undefined
  }
}

export function Header({ report, route, link, go, onHelp }: Shared & { onHelp: () => void }) {
  const [theme, toggle] = useTheme()
  const tabs = [
    ...(report.kind === 'run' ? ([['matrix', 'Matrix']] as const) : []),
    ...(report.faults ? ([['faults', 'Faults']] as const) : []),
    ['run', report.kind === 'run' ? 'Run' : 'About'] as const,
  ]
  const search = (q: string) => go({ page: report.kind === 'run' ? 'matrix' : 'faults', q, filters: route.filters }, route.page !== 'case')
  return (
    <header class="top">
      <a class="brand" href={link({})}>
        <svg viewBox="0 0 32 16" aria-hidden="true">
          <path d="M4 8h24" />
          <circle cx="4" cy="8" r="3.5" />
          <circle cx="16" cy="8" r="3.5" />
          <circle cx="28" cy="8" r="3.5" />
        </svg>
        everyhop
      </a>
      <nav aria-label="Pages">
        {tabs.map(([page, title]) => (
          <a key={page} href={link({ page, q: route.q, filters: route.filters })} aria-current={route.page === page ? 'page' : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <input
        id="search"
        type="search"
        placeholder={report.kind === 'run' ? 'Search cases, pods, hops   /' : 'Search faults   /'}
        aria-label="Search"
        value={route.q}
        onInput={(e) => search(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key !== 'Escape') return
          if (route.q) search('')
          e.currentTarget.blur()
        }}
      />
      <button
        type="button"
        class="icon"
        onClick={toggle}
        aria-label={theme === 'dark' ? 'Light colours' : 'Dark colours'}
        title={theme === 'dark' ? 'Light colours' : 'Dark colours'}
      >
        {theme === 'dark' ? '☀' : '☾'}
      </button>
      <button type="button" class="icon" onClick={onHelp} aria-label="Help: words and keys" title="Help: words and keys (?)">
        ?
      </button>
    </header>
  )
}
