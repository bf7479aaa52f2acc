import type { Shared } from '../app.tsx'
import { Copy, Pairs } from './basics.tsx'

/** What was run on what, where its time went, and how to look again. */
export function RunPage({ report }: Shared) {
  const total = report.stages.reduce((sum, s) => sum + s.ms, 0)
  const longest = Math.max(1, ...report.stages.map((s) => s.ms))
  const environment = report.batches[0]?.environment ?? {}
  return (
    <div class="page narrow">
      <h1>{report.kind === 'run' ? 'This run' : 'These faults'}</h1>
      <Pairs
        of={[
          ['name', report.run],
          ['began', new Date(report.startedAt).toLocaleString()],
          ['cluster', report.provider],
          ['modes', [...new Set(report.batches.map((b) => `${b.mode}, release ${b.release}`))].join('; ')],
          ...Object.entries(environment).map(([k, v]) => [k, v] as const),
        ]}
      />
      {report.notes.length > 0 && (
        <>
          <h2>Notes</h2>
          <ul>
            {report.notes.map((n) => (
              <li key={n}>{n}</li>
            ))}
          </ul>
        </>
      )}
      {report.notRun.length > 0 && (
        <>
          <h2>Not run</h2>
          <dl class="not-run">
            {report.notRun.map((cell) => (
              <div key={cell.id}>
                <dt>
                  <code>{cell.id}</code>
                </dt>
                <dd class="soft">{cell.reason}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
      {report.stages.length > 0 && (
        <>
          <h2>
            Where the time went <span class="soft">{(total / 1000).toFixed(1)} s</span>
          </h2>
          <table class="stages">
            <tbody>
              {report.stages.map((s, i) => (
                <tr key={i}>
                  <th scope="row">{s.name}</th>
                  <td>
                    <i style={{ width: `${Math.max(0.5, (s.ms / longest) * 100)}%` }} />
                  </td>
                  <td class="number">{(s.ms / 1000).toFixed(2)} s</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      {report.kind === 'run' && (
        <>
          <h2>Judge it again</h2>
          <p>The folder of this file holds everything the verdicts were computed from. On any machine, without root:</p>
          <Copy text="bin/everyhop judge FOLDER" label="the command" />
        </>
      )}
    </div>
  )
}
