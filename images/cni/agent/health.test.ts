import { expect, test } from 'vitest'
import { Health } from './health.ts'

test('alive from the start, ready when told so', async () => {
  const health = new Health()
  const port = await health.listen(0)
  const status = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status
  expect([await status('/healthz'), await status('/readyz'), await status('/')]).toEqual([200, 503, 404])
  health.ready = true
  expect(await status('/readyz')).toBe(200)
  await health.close()
})
