import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Report } from '../report.ts'
import { matching } from './model/matrix.ts'
import { parseRoute, type Route, routeHash } from './model/route.ts'
import { CasePage } from './parts/case-page.tsx'
import { FaultsPage } from './parts/faults-page.tsx'
import { Header } from './parts/header.tsx'
import { Help } from './parts/help.tsx'
import { MatrixPage } from './parts/matrix-page.tsx'
import { RunPage } from './parts/run-page.tsx'

export interface Shared {
  readonly report: Report
  readonly route: Route
  /** Another place, as a link. */
  readonly link: (to: Partial<Route>) => string
  /** Goes there; `keep`: without a step in the browser's history. */
  readonly go: (to: Partial<Route>, keep?: boolean) => void
}

export function App({ report }: { report: Report }) {
  const home = report.kind === 'faults' ? 'faults' : 'matrix'
  const [route, setRoute] = useState(() => parseRoute(location.hash, home))
  const [help, setHelp] = useState(false)
  const main = useRef<HTMLElement>(null)
  const shared = useMemo((): Shared => {
    const link = (to: Partial<Route>) => routeHash(to, home)
    return {
      report,
      route,
      link,
      go: (to, keep) => {
        const hash = link(to)
        if (keep) {
          history.replaceState(null, '', hash)
          setRoute(parseRoute(hash, home))
        } else location.hash = hash
      },
    }
  }, [report, route, home])

  useEffect(() => {
    const moved = () => setRoute(parseRoute(location.hash, home))
    addEventListener('hashchange', moved)
    return () => removeEventListener('hashchange', moved)
  }, [home])

  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      const typing = event.target instanceof HTMLElement && event.target.matches('input, select, textarea')
      if (event.key === '?' && !typing) setHelp((open) => !open)
      else if (event.key === '/' && !typing) {
        event.preventDefault()
        document.querySelector<HTMLInputElement>('#search')?.focus()
      }
    }
    addEventListener('keydown', pressed)
    return () => removeEventListener('keydown', pressed)
  }, [])

  const cases = useMemo(() => matching(report, route), [report, route.q, JSON.stringify(route.filters)])
  const shown = report.cases.find((c) => c.key === route.case)
  useEffect(() => {
    document.title = shown ? `${shown.key} · Everyhop` : `Everyhop · ${report.run}`
    scrollTo(0, 0)
  }, [shown, route.page])

  const skip = () => main.current?.focus()
  return (
    <>
      <button type="button" class="skip" onClick={skip}>
        Skip to the content
      </button>
      <Header {...shared} onHelp={() => setHelp(true)} />
      <main id="main" ref={main} tabIndex={-1}>
        {route.page === 'case' ? (
          shown ? (
            <CasePage {...shared} shown={shown} cases={cases} />
          ) : (
            <p class="empty">
              There is no case <code>{route.case}</code> in this report. <a href={shared.link({})}>Back to the start</a>
            </p>
          )
        ) : route.page === 'faults' ? (
          <FaultsPage {...shared} />
        ) : route.page === 'run' ? (
          <RunPage {...shared} />
        ) : (
          <MatrixPage {...shared} cases={cases} />
        )}
      </main>
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  )
}
