/**
 * Prints the story: headings, paragraphs, lines and tables, in 80 columns.
 */
import { Console, Effect } from "effect"

const width = 78

const coloured = process.stdout.isTTY === true && process.env.NO_COLOR === undefined

const paint = (code: number) => (text: string): string => coloured ? `\u001b[${code}m${text}\u001b[0m` : text

export const bold = paint(1)
export const dim = paint(2)
export const red = paint(31)
export const green = paint(32)
export const yellow = paint(33)

/** Breaks a line at its spaces; what follows the first line stands further in. */
const wrap = (line: string, indent: string, hanging: string): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let current = indent
  let words = 0
  for (const word of line.split(" ")) {
    if (words > 0 && current.length + 1 + word.length > width) {
      lines.push(current)
      current = hanging
      words = 0
    }
    current += words === 0 ? word : ` ${word}`
    words++
  }
  return [...lines, current]
}

export const print = (lines: ReadonlyArray<string>): Effect.Effect<void> => Console.log(lines.join("\n"))

export const heading = (text: string): Effect.Effect<void> => print(["", bold(text), dim("-".repeat(text.length))])

export const say = (text: string): Effect.Effect<void> => print(wrap(text, "", ""))

/** Text that has lines of its own. A line that is too long goes on further in, beside the strokes of a tree. */
export const quote = (text: string): Effect.Effect<void> =>
  print(
    text.split("\n").flatMap((line) => {
      const [start = "", strokes = ""] = /^ *([├└│─ ]*)/.exec(line) ?? []
      const under = start.replace("├", "│").replace("└", " ").replaceAll("─", " ")
      return wrap(line.slice(start.length), `  ${start}`, `  ${under}${strokes.trim() === "" ? "    " : "  "}`)
    }).map(dim)
  )

/** Something, what became of it, and a remark. */
export const line = (what: string, became: string, remark = "", colour = (text: string) => text): Effect.Effect<void> =>
  print([`  ${what.padEnd(27)} ${colour(became.padEnd(15))} ${remark}`.trimEnd()])

/** Columns of numbers under their names, after a column of names. */
export const table = (
  names: ReadonlyArray<string>,
  rows: ReadonlyArray<readonly [name: string, ...numbers: ReadonlyArray<string | number>]>
): Effect.Effect<void> => {
  const row = (cells: ReadonlyArray<string | number>) =>
    cells.map((cell, i) => i === 0 ? `  ${String(cell).padEnd(8)}` : String(cell).padStart(11)).join("")
  return print([bold(row(names)), ...rows.map(row)])
}

/** A part of one line, as soon as it is known. */
export const tick = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stdout.write(text))
