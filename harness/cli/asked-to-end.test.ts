import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** Begins to end when it is asked to, and has ended in order when it was told to go on; each signal that arrives is told. */
const program = `
const { whenAskedToEnd } = await import(${JSON.stringify(join(import.meta.dirname, 'asked-to-end.ts'))})
let now = 0
performance.now = () => now
whenAskedToEnd(() => console.log('ending'))
for (const s of ['SIGINT', 'SIGTERM']) process.on(s, () => console.log(s))
process.stdin.on('data', (text) => {
  if (String(text) === 'later') now = 60_000
  else process.exit(3)
  console.log('later')
})
console.log('ready')
`

async function started() {
  const args = ['--disable-warning=ExperimentalWarning', '--v8-pool-size=0', '--input-type=module', '-e', program]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  let told = ''
  child.stdout.on('data', (text) => {
    told += text
  })
  const said = async (text: string) => {
    while (!told.includes(text)) await once(child.stdout, 'data')
  }
  await said('ready')
  return { child, ended, said, told: () => told }
}

test('signals that come with the first are the same request: it ends once, and in order', async () => {
  const { child, ended, said, told } = await started()
  child.kill('SIGTERM')
  await said('ending\nSIGTERM\n')
  child.kill('SIGTERM')
  await said('SIGTERM\nSIGTERM\n')
  child.kill('SIGINT')
  await said('SIGINT\n')
  child.stdin.write('go on')
  expect(await ended).toEqual([3, null])
  expect(told().match(/ending/g)).toHaveLength(1)
})

test('later on another Ctrl-C ends it where it stands, another SIGTERM does not', async () => {
  const { child, ended, said } = await started()
  child.kill('SIGTERM')
  await said('ending\nSIGTERM\n')
  child.stdin.write('later')
  await said('later\n')
  child.kill('SIGTERM')
  await said('later\nSIGTERM\n')
  child.kill('SIGINT')
  expect(await ended).toEqual([null, 'SIGINT'])
})
