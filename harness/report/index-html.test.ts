import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { renderReport } from '../../reports/html/render.ts'
import { template } from '../../reports/html/template.ts'
import { exampleReport, failing, open } from './testing.ts'

const onPath = (name: string) =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file)) ?? name

const report = exampleReport()
const hop = 'app-ztunnel/is-turned-around'
let browser: Browser
let folder: string
let url: string
let page: Page
let complaints: string[]
let asked: string[]

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'everyhop-html-'))
  const file = join(folder, 'index.html')
  writeFileSync(file, renderReport(report, await template()))
  url = pathToFileURL(file).href
  browser = await chromium.launch({ executablePath: onPath('chromium'), args: ['--no-sandbox'] })
  page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' })
  page.setDefaultTimeout(10_000)
  page.on('console', (message) => complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('request', (request) => asked.push(request.url()))
})
afterAll(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  complaints = []
  asked = []
  // Another page first: the same one with another hash would not be loaded anew.
  await page.goto('about:blank')
})
afterEach(() => {
  expect(complaints).toEqual([])
  expect(asked.filter((u) => !/^(file|data|about):/.test(u))).toEqual([])
})

const go = (hash = '') => page.goto(url + hash)
const title = () => page.locator('h1').textContent()
const pressed = (name: string) => page.locator(`[data-hop="${name}"]`).getAttribute('aria-pressed')
const shownHop = () => page.locator('aside h2').textContent()

describe('the matrix', () => {
  test('says what came out, and names the broken hop of what failed', async () => {
    await go()
    expect(await title()).toMatch(/^4 of 6 cases passed: 1 failed, 1 inconclusive/)
    expect(await page.locator('.tile').count()).toBe(6)
    expect(await page.locator('.tile.fail .strip .broken').count()).toBe(1)
    const first = page.locator('.troubles li').first()
    expect(await first.textContent()).toContain('first broken hop: is turned around')
    await first.locator('a').click()
    await expect.poll(() => page.url()).toContain(`#case=${failing}&hop=${hop}`)
  })

  test('a search and a filter leave the cases that fit, and are in the address', async () => {
    await go()
    await page.locator('#search').fill('probe 15001')
    await expect.poll(() => page.locator('.tile:not(.dim)').count()).toBe(0)
    await page.locator('#search').fill('sleep-one-a pod-ip/tcp')
    await expect.poll(() => page.locator('.tile:not(.dim)').count()).toBe(1)
    expect(page.url()).toContain('#q=sleep-one-a+pod-ip/tcp')
    await page.locator('#search').press('Escape')
    await page.locator('.chip.fail').click()
    await expect.poll(() => page.locator('.tile:not(.dim)').count()).toBe(1)
    expect(page.url()).toMatch(/#verdict=fail$/)
    await page.reload()
    expect(await page.locator('.tile:not(.dim)').count()).toBe(1)
    expect(await page.locator('.chip.fail').getAttribute('aria-pressed')).toBe('true')
  })

  test('the keyboard reaches the search, the tiles and the help', async () => {
    await go()
    await page.locator('h1').waitFor()
    await page.keyboard.press('/')
    expect(await page.evaluate('document.activeElement?.id')).toBe('search')
    await page.keyboard.press('Escape')
    await page.keyboard.press('j')
    await page.keyboard.press('j')
    await page.keyboard.press('k')
    await page.keyboard.press('Enter')
    await expect.poll(() => page.url()).toContain(`#case=${failing}`)
    await page.locator('aside h2').waitFor()
    await page.keyboard.press('Escape')
    await expect.poll(() => page.locator('.tile').count()).toBe(6)
    await page.keyboard.press('?')
    expect(await page.locator('dialog.help').textContent()).toContain('ambient mesh')
    // What comes first is seen first.
    expect(await page.evaluate(`document.querySelector('dialog.help').scrollTop`)).toBe(0)
    await page.keyboard.press('Escape')
    await expect.poll(() => page.locator('dialog.help').count()).toBe(0)
  })
})

describe('a case', () => {
  test('that failed shows its first broken hop, why, and the likely cause', async () => {
    await go(`#case=${failing}`)
    const trouble = await page.locator('.trouble').textContent()
    expect(trouble).toContain('First broken hop: is turned around')
    expect(trouble).toContain('-A ISTIO_OUTPUT -j ACCEPT')
    expect(trouble).toMatch(/likely cause\s*-A ISTIO_OUTPUT ! -d 127.0.0.1\/32 .* --to-ports 15001/)
    expect(await page.locator('.hop.broken').getAttribute('aria-label')).toBe('hop 1: is turned around, fail, the first broken hop')
    expect(await pressed(hop)).toBe('true')
    expect(await page.locator('aside .proof.contradicted .walk .proof').count()).toBeGreaterThan(0)
  })

  test('draws every station and hop of its path, and its legs clear and sealed', async () => {
    await go(`#case=${failing}`)
    expect(await page.locator('.station text').allTextContents()).toEqual([
      'app',
      'lo',
      'ztunnel',
      'eth0',
      'veth',
      'eth0',
      'eth0',
      'veth',
      'eth0',
      'ztunnel',
      'lo',
      'app',
    ])
    const hops = report.cases[0]!.legs.flatMap((l) => l.hops)
    expect(await page.locator('.picture .hop').count()).toBe(hops.length)
    expect(await page.locator('.leg .row').allTextContents()).toEqual(['clear', expect.stringMatching(/^sealed/), 'clear'])
  })

  test('the arrows go from hop to hop, j and k from case to case; the address follows', async () => {
    await go(`#case=${failing}`)
    await page.locator('aside h2').waitFor()
    await page.keyboard.press('ArrowRight')
    await expect.poll(() => page.url()).toContain('&hop=app-ztunnel/runs-over-lo')
    await expect.poll(shownHop).toMatch(/runs over lo/)
    await page.keyboard.press('ArrowLeft')
    await expect.poll(shownHop).toMatch(/is turned around/i)
    await page.keyboard.press('j')
    await expect.poll(() => page.url()).toContain(`#case=${open}`)
    await expect.poll(title).toContain('TCP')
    await page.keyboard.press('k')
    await expect.poll(() => page.url()).toContain(`#case=${failing}`)
  })

  test('a link to a hop opens it with its evidence', async () => {
    await go(`#case=${open}&hop=app-ztunnel/carries-the-request`)
    expect(await shownHop()).toMatch(/carries the request/i)
    await page.locator('aside .proof', { hasText: 'The secret word is readable at lo' }).locator('> summary').click()
    const evidence = page.locator('aside .proof[open] .evidence').first()
    expect(await evidence.textContent()).toMatch(/Packet[\s\S]*sequence[\s\S]*bundle\/inpod-today\/evidence\//)
    expect(await evidence.locator('.hex mark').count()).toBeGreaterThan(0)
  })

  test('a packet is shown with every place where it was seen', async () => {
    await go(`#case=${failing}`)
    const sealed = page.locator('.journey', { has: page.locator('circle:nth-of-type(6)') }).first()
    await sealed.click()
    await expect.poll(() => page.url()).toContain('&packet=')
    expect(await page.locator('.sights li').count()).toBe(6)
    expect(await page.locator('aside .words').textContent()).toContain('It came through')
  })

  test('that is inconclusive says which packet was not seen', async () => {
    await go(`#case=${open}`)
    expect(await page.locator('.trouble').textContent()).toMatch(/expected syn .* not seen/)
    expect(await page.locator('.picture .hop.inconclusive').count()).toBe(1)
    expect(await page.locator('aside').textContent()).toContain('Nothing like it')
  })

  test('without a path shows its checks, and points into its bundle', async () => {
    await go('#case=inpod/disruption/ztunnel-rollout')
    const text = await page.locator('.checks-only').textContent()
    expect(text).toContain('loses no request')
    expect(text).toContain('512 asked, 512 served')
    expect(text).toContain('load.jsonl#L1')
    expect(await page.locator('.picture').count()).toBe(0)
  })

  test('of a load shows each request, what was done meanwhile, and when it must be sealed', async () => {
    await go('#case=inpod/disruption/ztunnel-rollout')
    const picture = page.locator('svg.load[role=img]')
    expect(await picture.getAttribute('aria-label')).toMatch(/^40 requests over \d+\.\d ms: 40 answered; asked for at /)
    expect(await picture.locator('circle.delivered').count()).toBe(40)
    expect(await picture.locator('.event text').allTextContents()).toEqual([
      'asked for',
      'one ready',
      'one ending',
      'two ready',
      'two ending',
      'done',
    ])
    expect(await picture.locator('.sealed line:not(.none)').count()).toBe(1)
    expect(await picture.locator('circle.delivered').first().locator('..').locator('title').textContent()).toMatch(
      /, answered after 10\.0 ms$/,
    )
  })

  test('that nobody made is said, with the way back', async () => {
    await go('#case=no/such/case')
    expect(await page.locator('main').textContent()).toContain('There is no case no/such/case')
  })
})

test('the fault matrix shows what caught each fault, where, and what got through', async () => {
  await go('#page=faults')
  expect(await title()).toBe('1 of 2 seeded faults got through')
  expect(await page.locator('.faults tbody tr').count()).toBe(2)
  expect(await page.locator('.faults tr', { hasText: 'outbound-redirect-dropped' }).textContent()).toContain('is turned around')
  expect(await page.locator('.faults .missed').textContent()).toContain('not caught')
  await page.getByRole('button', { name: 'outbound-redirect-dropped' }).click()
  await expect.poll(() => page.locator('.faults .detail').textContent()).toContain('another rule was met')
  expect(page.url()).toContain('fault=outbound-redirect-dropped')
})

test('what was not run is told with its reason, and where the time went', async () => {
  await go('#page=run')
  const text = await page.locator('main').textContent()
  expect(text).toContain('a node probes only its own pods')
  expect(text).toMatch(/requests1\.20 s/)
  expect(text).toContain('6.1.0')
  const widths = await page.locator('.stages i').evaluateAll((bars) => bars.map((bar) => bar.getBoundingClientRect().width))
  expect(Math.max(...widths)).toBeGreaterThan(200)
})

test('the legend shows a catch as the table does', async () => {
  await go('#page=faults')
  const marks = '.cell .mark.fail, .catch-sign .mark.fail'
  await expect.poll(() => page.locator('.catch-sign').count()).toBe(1)
  const colours = (await page.evaluate(`[...document.querySelectorAll('${marks}')].map((m) => getComputedStyle(m).color)`)) as string[]
  expect(colours.length).toBeGreaterThan(1)
  expect(new Set(colours).size).toBe(1)
})

test('dark and light follow the system until the reader chooses', async () => {
  const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
  await go()
  await page.locator('h1').waitFor()
  const light = await background()
  await page.emulateMedia({ colorScheme: 'dark' })
  await expect.poll(background).not.toBe(light)
  await page.getByRole('button', { name: 'Light colours' }).click()
  await expect.poll(background).toBe(light)
})

test.each([800, 1280])('at a width of %i nothing is wider than the page', async (width) => {
  await page.setViewportSize({ width, height: 900 })
  for (const hash of ['', `#case=${failing}`, '#page=faults', '#page=run']) {
    await page.goto('about:blank')
    await go(hash)
    await page.locator('h1').waitFor()
    expect(await page.evaluate('document.documentElement.scrollWidth'), hash).toBeLessThanOrEqual(width)
  }
})

test('the same report gives the same bytes, and an empty one little more than the app', async () => {
  const app = await template()
  expect(renderReport(exampleReport(), app)).toBe(renderReport(report, app))
  expect(statSync(join(folder, 'index.html')).size).toBeLessThan(app.length + 100_000)
  expect(app.length).toBeLessThan(150_000)
})
