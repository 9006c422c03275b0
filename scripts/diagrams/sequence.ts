/**
 * Sequences: who asks whom for what, one after the other from top to bottom.
 */
import { arrow, box, line, lineHeight, picture, text, type Tone, width, wrap } from "./drawing.ts"

/** What happens, by the names of those who take part. */
export type Step =
  /** One asks another, or answers. */
  | {
    readonly from: string
    readonly to: string
    readonly says: string
    readonly reply?: boolean
    readonly tone?: Tone
  }
  /** What one does, or what is so, over one column or from one to another. */
  | { readonly over: string; readonly upTo?: string; readonly does: string; readonly tone?: Tone }
  /** What follows happens in this case. */
  | { readonly when: string; readonly tone?: Tone }

const headHeight = 32
const gap = 10
const inset = 10

/** Something drawn, and how high it is. */
interface Drawn {
  readonly height: number
  readonly parts: ReadonlyArray<string>
}

const columnOf = (who: ReadonlyArray<string>): number => width / who.length

/** Where the life line of somebody is. */
const xOf = (who: ReadonlyArray<string>, name: string): number => {
  const i = who.indexOf(name)
  if (i < 0) throw new Error(`"${name}" takes no part in this sequence`)
  return Math.round(columnOf(who) * (i + 0.5))
}

const drawStep = (step: Step, top: number, who: ReadonlyArray<string>): Drawn => {
  if ("when" in step) {
    const area = { x: 1, y: top + gap, width: width - 2, height: lineHeight + 10 }
    const { tone = "plain", when } = step
    return { height: gap + area.height, parts: [box(area, [when], { anchor: "start", look: "strong", tone })] }
  }
  const column = columnOf(who)
  if ("over" in step) {
    const [left, right] = [xOf(who, step.over), xOf(who, step.upTo ?? step.over)]
    const area = { x: left - column / 2 + 6, y: top, width: right - left + column - 12 }
    const lines = wrap(step.does, area.width - 2 * inset)
    const height = lineHeight * lines.length + 14
    return {
      height,
      parts: [box({ ...area, height }, lines, { anchor: "start", tone: step.tone ?? "plain" })]
    }
  }
  const [from, to] = [xOf(who, step.from), xOf(who, step.to)]
  const side = Math.sign(to - from)
  // It stands between the first two columns, so that no life line goes through it.
  const lines = wrap(step.says, column - 2 * inset)
  const y = top + lineHeight * lines.length + 4
  return {
    height: y - top + 6,
    parts: [
      text(from + side * column / 2, top + lineHeight / 2, lines, { anchor: "middle" }),
      arrow({ x: from, y }, { x: to - 2 * side, y }, step.tone ?? "plain", step.reply === true ? "reply" : "call")
    ]
  }
}

/** A sequence between those who take part, from left to right. */
export const sequence = (
  title: string,
  description: string,
  who: ReadonlyArray<string>,
  steps: ReadonlyArray<Step>
): string => {
  const column = columnOf(who)
  let top = 1 + headHeight + gap
  const drawn = steps.flatMap((step) => {
    const { height, parts } = drawStep(step, top, who)
    top += height + gap
    return parts
  })
  const heads = who.map((name) =>
    box({ x: xOf(who, name) - column / 2 + 16, y: 1, width: column - 32, height: headHeight }, [name], {
      look: "strong"
    })
  )
  const lifeLines = who.map((name) =>
    line({ x: xOf(who, name), y: 1 + headHeight }, { x: xOf(who, name), y: top }, false)
  )
  return picture(title, description, top + 2, [...lifeLines, ...heads, ...drawn])
}
