import { styleText } from 'node:util'
import type { Fact } from './evidence-words.ts'
import type { Story, StoryHop } from './story.ts'

const MARKS = { pass: '✓', fail: '✗', inconclusive: '?' } as const
const COLOURS = { pass: 'green', fail: 'red', inconclusive: 'yellow', unsupported: 'gray', error: 'magenta' } as const
const WORDS = {
  pass: 'it took its path',
  fail: 'it did not take its path',
  inconclusive: 'not enough was proven',
  unsupported: 'it cannot be run here',
  error: 'it could not be judged',
} as const

/** Of what has no path. */
const ALONE: Partial<Record<Story['verdict'], string>> = { pass: 'all holds', fail: 'not all holds' }

type Style = Parameters<typeof styleText>[0]

/** A story as text of at most `width` columns, but for rules and references, which stand as they are. */
export function storyText(story: Story, { colour, width }: { colour: boolean; width: number }): string {
  const paint = (style: Style, text: string) => (colour ? styleText(style, text, { validateStream: false }) : text)
  const lines: string[] = []
  const say = (text: string, indent: number, style?: Style) => {
    for (const line of wrapped(text, width - indent)) lines.push(' '.repeat(indent) + (style ? paint(style, line) : line))
  }
  const tell = (hop: StoryHop, number: string) => {
    const broken = hop.id === story.brokenHop
    const head = `${number}${hop.title}`
    lines.push(
      '',
      `  ${paint(COLOURS[hop.verdict], MARKS[hop.verdict])} ${paint('bold', head)}${hop.where ? paint('dim', `  ${hop.where}`) : ''}`,
    )
    if (broken) say('Here it broke.', 4, 'red')
    if (hop.means) say(hop.means, 4)
    for (const fact of hop.facts)
      lines.push(
        ...factLines(fact, width).map((line, i) => (i === 0 && fact.status !== 'proven' ? paint('red', line) : paint('dim', line))),
      )
    if (broken && story.likely) say(`Most likely: ${story.likely}`, 4, 'red')
  }
  lines.push(
    `${paint('bold', story.case)}: ${paint(COLOURS[story.verdict], `${story.verdict}, ${story.legs.length > 0 ? WORDS[story.verdict] : (ALONE[story.verdict] ?? WORDS[story.verdict])}`)}`,
  )
  if (story.reason) say(`Because: ${story.reason}`, 0)
  if (story.introduction.length > 0) lines.push('')
  for (const sentence of story.introduction) say(sentence, 0)
  if (story.startedAt)
    say(
      `Times below count from when the client began, ${story.startedAt}; of packets they are exact, of rules and connections they say when the kernel told of them, which it does in batches.`,
      0,
    )
  story.legs.forEach((leg, l) => {
    lines.push('', paint('bold', `${l + 1}. ${leg.title}  (${leg.row === 'clear' ? 'readable here' : 'must not be readable here'})`))
    if (leg.means) say(leg.means, 3)
    for (const [h, hop] of leg.hops.entries()) tell(hop, `${l + 1}.${h + 1} `)
  })
  if (story.checks.length > 0) lines.push('', paint('bold', story.legs.length > 0 ? 'The request as a whole' : 'What must hold'))
  for (const check of story.checks) tell(check, '')
  return lines.join('\n')
}

/** Time, words and reference in columns; a rule on a line of its own. */
function factLines({ atMs, text, rule, ref }: Fact, width: number): string[] {
  const time = atMs === undefined ? '' : `${atMs < 0 ? '−' : '+'}${Math.abs(atMs).toFixed(2)} ms`
  const [first = '', ...rest] = wrapped(text, width - 19)
  const pad = ' '.repeat(19)
  return [
    `    ${time.padStart(13)}  ${first}`,
    ...rest.map((line) => pad + line),
    ...(rule ? [`${pad}${rule}`] : []),
    ...(ref ? [`${pad}[${ref}]`] : []),
  ]
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/)) {
    if (line && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line ? `${line} ${word}` : word
  }
  return line ? [...lines, line] : lines
}
