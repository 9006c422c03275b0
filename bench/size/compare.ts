/**
 * What of two sets of sizes has grown.
 */

/** In bytes, but for `files`. */
export interface Sizes {
  readonly tarball: { readonly packed: number; readonly unpacked: number; readonly files: number }
  /** The minimal program in a browser: with `effect` left out, and with it. */
  readonly minimal: {
    readonly library: { readonly minified: number; readonly gzip: number }
    readonly withEffect: { readonly minified: number; readonly gzip: number }
  }
}

export interface Row {
  readonly what: string
  readonly old: number | undefined
  readonly new: number
  /** A share of the old number; undefined if there is none. */
  readonly growth: number | undefined
}

/** More than that has to be accepted, with a reason. */
export const allowed = 0.02

const numbers = ({ minimal, tarball }: Sizes): Readonly<Record<string, number>> => ({
  "tarball, packed": tarball.packed,
  "tarball, unpacked": tarball.unpacked,
  "tarball, files": tarball.files,
  "minimal program without effect, minified": minimal.library.minified,
  "minimal program without effect, gzip": minimal.library.gzip,
  "minimal program with effect, minified": minimal.withEffect.minified,
  "minimal program with effect, gzip": minimal.withEffect.gzip
})

export const compare = (old: Sizes | undefined, now: Sizes): ReadonlyArray<Row> => {
  const before = old === undefined ? {} : numbers(old)
  return Object.entries(numbers(now)).map(([what, size]): Row => {
    const was = before[what]
    return { what, old: was, new: size, growth: was === undefined ? undefined : size / was - 1 }
  })
}

/** What is unknown has grown, too. */
export const grown = (rows: ReadonlyArray<Row>): ReadonlyArray<Row> =>
  rows.filter((row) => row.old === undefined || row.new > row.old * (1 + allowed))

const number = (value: number | undefined): string => value === undefined ? "-" : value.toLocaleString("en")

const percent = (growth: number | undefined): string =>
  growth === undefined ? "new" : `${growth < 0 ? "-" : "+"}${(100 * Math.abs(growth)).toFixed(2)} %`

export const format = (rows: ReadonlyArray<Row>): string =>
  [
    ["", "old", "new", "growth"],
    ...rows.map((row) => [row.what, number(row.old), number(row.new), percent(row.growth)])
  ]
    .map(([what, ...cells]) => `${what!.padEnd(42)}${cells.map((cell) => cell.padStart(12)).join("")}`)
    .join("\n")
