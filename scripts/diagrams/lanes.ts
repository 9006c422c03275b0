/**
 * Lanes in which time goes to the right: who does what meanwhile, and what is between them.
 */
import { arrow, box, line, lineHeight, picture, text, type Tone, width } from "./drawing.ts"

/** Something that takes time, from and to which percent of the width. */
export interface Bar {
  readonly lane: number
  readonly from: number
  readonly to: number
  readonly says: string
  readonly tone?: Tone
}

/** Something that goes at a moment from one lane to the next. What it says stands beside it, on the side of `side`. */
export interface Move {
  readonly from: number
  readonly to: number
  readonly at: number
  readonly says?: string
  readonly side?: "left" | "right"
  readonly tone?: Tone
  readonly refused?: boolean
}

export interface Panel {
  readonly title: string
  readonly outcome: string
  readonly tone: Tone
  readonly lanes: ReadonlyArray<string>
  readonly bars: ReadonlyArray<Bar>
  readonly moves: ReadonlyArray<Move>
  /** A moment that is seen in all lanes, and what is so from then on. */
  readonly moment: { readonly at: number; readonly says: string }
}

const names = 92
const laneHeight = 48
const between = 38
const head = 40
const gap = 34

const x = (percent: number): number => Math.round(names + (width - names - 2) * percent / 100)

const draw = ({ bars, lanes, moment, moves, outcome, title, tone }: Panel, top: number): ReadonlyArray<string> => {
  const y = (lane: number): number => top + head + lane * (laneHeight + between)
  const middle = (lane: number): number => y(lane) + laneHeight / 2
  const bottom = y(lanes.length - 1) + laneHeight
  const said = moment.says.split("\n")
  return [
    text(0, top + 14, [title], { look: "title" }),
    text(width - 2, top + 14, [outcome], { anchor: "end", look: "strong", tone }),
    line({ x: x(moment.at), y: top + head - 8 }, { x: x(moment.at), y: bottom + 4 }, true),
    text(x(moment.at) + 10, middle(lanes.length - 1) - lineHeight * (said.length - 1) / 2, said, { look: "muted" }),
    ...lanes.map((name, lane) => text(0, middle(lane), [name], { look: "muted" })),
    ...bars.map(({ from, lane, says, to, tone = "plain" }) =>
      box({ x: x(from), y: y(lane), width: x(to) - x(from), height: laneHeight }, says.split("\n"), { tone })
    ),
    ...moves.flatMap(({ at, from, refused = false, says, side = "right", to, tone = "plain" }) => {
      const down = to > from
      const [start, end] = [down ? y(from) + laneHeight : y(from), down ? y(to) : y(to) + laneHeight]
      const beside = side === "left" ? x(at) - 10 : x(at) + 10
      return [
        arrow(
          { x: x(at), y: start + (down ? 1 : -1) },
          { x: x(at), y: end - (down ? 2 : -2) },
          tone,
          refused ? "refused" : "call"
        ),
        ...says === undefined
          ? []
          : [text(beside, (start + end) / 2, [says], { anchor: side === "left" ? "end" : "start", tone })]
      ]
    })
  ]
}

const heightOf = ({ lanes }: Panel): number => head + lanes.length * laneHeight + (lanes.length - 1) * between

/** Panels below each other, to be compared. */
export const compare = (title: string, description: string, panels: ReadonlyArray<Panel>): string => {
  let top = 2
  const parts = panels.flatMap((panel) => {
    const drawn = draw(panel, top)
    top += heightOf(panel) + gap
    return drawn
  })
  return picture(title, description, top - gap + 6, parts)
}
