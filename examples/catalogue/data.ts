/**
 * The films of `vega-datasets`: real data, with the faults of real data. Its authors keep them on purpose.
 */
import { Effect, Schema } from "effect"
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"
import { Film } from "./Film.ts"

const Raw = Schema.fromJsonString(Schema.Array(Schema.Struct({
  Title: Schema.NullOr(Schema.Union([Schema.String, Schema.Finite])),
  "Major Genre": Schema.NullOr(Schema.String),
  "Release Date": Schema.String,
  Director: Schema.NullOr(Schema.String),
  "IMDB Rating": Schema.NullOr(Schema.Finite)
})))

// The newest film of the set. What seems to be younger had two digits for its year, and was put a century too late.
const newest = 2011

const yearOf = (date: string): number => {
  const year = Number(date.slice(-4))
  return year > newest ? year - 100 : year
}

/** The films, numbered by their place in the set. One without a title is left out; titles that are numbers are text. */
export const films = Effect.gen(function*() {
  // The package names its files to browsers; on disk they stand beside its code.
  const code = pathToFileURL(createRequire(import.meta.url).resolve("vega-datasets"))
  const text = yield* Effect.promise(() => readFile(new URL("../data/movies.json", code), "utf8"))
  const rows = yield* Effect.orDie(Schema.decodeUnknownEffect(Raw)(text))
  return rows.flatMap((row, i) =>
    row.Title === null ? [] : [
      new Film({
        id: i + 1,
        title: String(row.Title),
        year: yearOf(row["Release Date"]),
        genre: row["Major Genre"],
        director: row.Director,
        rating: row["IMDB Rating"]
      })
    ]
  )
})
