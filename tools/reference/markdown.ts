/** The few shapes of Markdown that the reference is made of. */

const GENERATED = '<!-- Generated from the code by `npm run reference`; do not edit. -->'

export function page (title: string, ...parts: string[]): string { return `${[GENERATED, `# ${title}`, ...parts.map(part => part.trim())].join('\n\n')}\n` }

export function table (head: string[], rows: string[][]): string {
  return [head, head.map(() => '---'), ...rows].map(row => `| ${row.map(cell).join(' | ')} |`).join('\n')
}

export function fence (text: string, language = ''): string { return `\`\`\`${language}\n${text.replace(/^\n+|\s+$/g, '')}\n\`\`\`` }

export function code (text: string): string { return `\`${text}\`` }

/** `1_500_000` ms to `25 min`, `90_000` to `90 s`: the largest unit that divides it. */
export function duration (ms: number): string {
  const [unit, size] = ([['h', 3_600_000], ['min', 60_000], ['s', 1000]] as const).find(([, size]) => ms >= size && ms % size === 0) ?? ['ms', 1]
  return `${ms / size} ${unit}`
}

function cell (text: string): string { return text.replaceAll('|', '\\|').replace(/\s*\n\s*/g, ' ') }
