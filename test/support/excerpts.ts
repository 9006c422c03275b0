/**
 * Parts of files that a page shows. Above the block stands a comment like
 * `from: examples/articles/strategies/delete.ts#name` (as HTML), and in the
 * file `// #region name` and `// #endregion` around the part. The block is what
 * the file says, without the indentation: a test compares them, and
 * `npm run docs` writes the blocks anew.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { root } from "./modules.ts"

const marker = /^<!-- from: (\S+)#([\w-]+) -->$/

/** A block that shows a part of a file. Lines are counted from 0: `start` is the first of the code, `end` the closing fence. */
export interface Excerpt {
  readonly page: string
  readonly start: number
  readonly end: number
  readonly file: string
  readonly region: string
  readonly code: string
}

/** Where the marker of a block stands, if there is one: on the line above its fence, or above an empty line. */
export const markerAbove = (lines: ReadonlyArray<string>, fence: number): RegExpExecArray | null => {
  const above = lines[fence - 1]?.trim() === "" ? fence - 2 : fence - 1
  return marker.exec(lines[above]?.trim() ?? "")
}

/** The excerpts of a page. */
export const excerptsIn = (page: string, text: string): ReadonlyArray<Excerpt> => {
  const lines = text.split(/\r?\n/)
  return lines.flatMap((line, i) => {
    if (!marker.test(line.trim())) return []
    const fence = lines[i + 1]?.trim() === "" ? i + 2 : i + 1
    const end = lines.indexOf("```", fence + 1)
    if (lines[fence] !== "```ts" || end < 0) throw new Error(`${page}:${i + 1}: the marker is above no block of ts`)
    const [, file, region] = marker.exec(line.trim())!
    const code = lines.slice(fence + 1, end).join("\n")
    return [{ page, start: fence + 1, end, file: file!, region: region!, code }]
  })
}

/** What a file says between the lines of a region. */
export const regionOf = (file: string, region: string): string => {
  const absolute = path.join(root, file)
  if (!fs.existsSync(absolute)) throw new Error(`there is no ${file}`)
  const lines = fs.readFileSync(absolute, "utf8").split(/\r?\n/)
  const start = lines.findIndex((line) => line.trim() === `// #region ${region}`)
  const end = lines.findIndex((line, i) => i > start && line.trim() === "// #endregion")
  if (start < 0 || end < 0) throw new Error(`${file} has no region "${region}"`)
  const inside = lines.slice(start + 1, end)
  const indents = inside.filter((line) => line.trim() !== "").map((line) => line.length - line.trimStart().length)
  const indent = Math.min(...indents)
  return inside.map((line) => line.slice(indent)).join("\n").trim()
}

/** The pages that may show parts of files. */
export const pages = (): ReadonlyArray<string> =>
  fs.readdirSync(path.join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => path.posix.join("docs", file))
    .toSorted()

/** A page with its excerpts as the files have them now. */
export const renewed = (page: string, text: string): string => {
  const lines = text.split("\n")
  for (const { end, file, region, start } of [...excerptsIn(page, text)].reverse()) {
    lines.splice(start, end - start, ...regionOf(file, region).split("\n"))
  }
  return lines.join("\n")
}
