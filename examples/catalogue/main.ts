/**
 * The story: a catalogue of films, what is asked of it, what changes in it, and what the cache makes of that. With
 * `--redis URL` it is another one, of two processes that share a cache: `sideBySide.ts`.
 *
 * Every answer is compared with the database. One that differs, or a claim that does not hold, ends this with code 1.
 */
import { Cause, Clock, type Duration, Effect, Exit, Layer, Random, Result } from "effect"
import { parseArgs } from "node:util"
import { Cached, MemoryCache } from "../../src/index.ts"
import * as Catalogue from "./Catalogue.ts"
import * as StoryClock from "./clock.ts"
import * as data from "./data.ts"
import { Database } from "./Database.ts"
import { Film } from "./Film.ts"
import { heading, quote, say, table, tick } from "./report.ts"
import * as Repository from "./Repository.ts"
import * as Stage from "./stage.ts"

const { count } = Stage

const [pulpFiction, groundhogDay, truman, amelie, godfather] = [742, 390, 3008, 1164, 370]
const [grindhouse, tombstone] = [1871, 959]

const parasite = new Film({
  id: 3202,
  title: "Parasite",
  year: 2019,
  genre: "Thriller/Suspense",
  director: "Bong Joon-ho",
  rating: 8.5
})

const story = Effect.fnUntraced(function*(setAhead: (by: Duration.Input) => Effect.Effect<void>) {
  const all = yield* data.films
  yield* Repository.add(...all)
  const database = yield* Database
  const filling = yield* database.queries
  const stage = yield* Stage.make
  const { add, best, card, change, claim, edit, film, read, remove, show, years } = stage
  const genres = [...new Set(all.flatMap(({ genre }) => genre ?? []))]
  yield* say(`${count(all.length, "film")} of vega-datasets, in ${count(genres.length, "genre")} or in none.`)

  yield* heading("1. Asked twice, loaded once")
  yield* say("What is cached, and until when, in its own words:")
  yield* quote(Cached.describe(Catalogue.film).toString())
  for (const question of [film(pulpFiction), card(pulpFiction), best("Drama"), years]) {
    yield* read(question)
    yield* read(question)
  }

  yield* heading("2. A rating changes")
  yield* say("Groundhog Day is liked more than was thought. Its card shows title and year.")
  yield* change(edit(groundhogDay, { rating: 8.6 }), {
    drops: [film(groundhogDay), best("Comedy"), years],
    keeps: [card(groundhogDay), best("Drama"), film(pulpFiction)]
  })

  yield* heading("3. A title changes")
  yield* say("The data set mangles the accent of Amélie. Cards and lists show it; ratings do not care.")
  yield* change(edit(amelie, { title: "Le Fabuleux destin d'Amélie Poulain" }), {
    drops: [film(amelie), card(amelie), best("Comedy")],
    keeps: [years, best("Drama"), card(groundhogDay)]
  })

  yield* heading("4. A film moves to another genre")
  yield* say("The Truman Show is no drama, says the editor. Two lists change, and no third.")
  yield* change(edit(truman, { genre: "Comedy" }), {
    drops: [film(truman), best("Drama"), best("Comedy")],
    keeps: [best("Horror"), card(truman), years, film(pulpFiction)]
  })

  yield* heading("5. A film that is not there, until it is")
  yield* say("\"Not found\" is an answer, and is cached as one.")
  yield* read(film(parasite.id), ", not found")
  yield* read(film(parasite.id), ", not found")
  yield* say("Now the film is added.")
  yield* change(add(parasite), {
    drops: [film(parasite.id), best("Thriller/Suspense"), years],
    keeps: [best("Comedy"), film(pulpFiction)]
  })
  const { results: [found] } = yield* film(parasite.id).ask
  yield* claim(found !== undefined && Result.isSuccess(found), "\"not found\" ended when the film was added")

  yield* heading("6. A film is deleted")
  yield* say("Grindhouse turns out to be two films, and goes.")
  yield* change(remove(grindhouse), {
    drops: [film(grindhouse), card(grindhouse), best("Horror"), years],
    keeps: [best("Comedy"), film(pulpFiction)]
  })

  yield* heading("7. Why is this dead?")
  yield* film(tombstone).ask
  yield* card(tombstone).ask
  const westerns = yield* stage.rescore("Western", 0.1)
  yield* setAhead("3.2 seconds")
  yield* say(
    `One query changed the ratings of ${count(westerns, "Western")}, and cannot say of which. It ran behind a fence ` +
      "over two tags. A little later somebody asks why one of them has to be loaded:"
  )
  const why = yield* Cached.explain(Catalogue.film, tombstone)
  yield* quote(why.toString())
  yield* claim(why.verdict === "Dead", "the tag was found in the value, and took")
  yield* read(film(tombstone))
  yield* read(card(tombstone))

  yield* heading("8. Ten films, one query")
  const ten = [214, 224, 592, 730, 817, 842, 1544, 2026, 2292, pulpFiction]
  const first = yield* stage.page(ten)
  yield* show("film, 10 keys", first, `, ${first.loads} films; ${first.hits} from the cache`)
  yield* show("film, the same 10 keys", yield* stage.page(ten))
  yield* claim(first.loads > 1 && first.queries === 1, "what was missing was loaded by one query")

  yield* heading("9. A hundred callers, one query")
  const crowd = yield* stage.lists(Array.from({ length: 100 }, () => "Adventure"))
  yield* show("best of Adventure, 100 x", crowd, `, ${crowd.joined} joined the first`)
  yield* claim(crowd.queries === 1, "a cold key, a hundred callers at once, one query")

  yield* heading("10. Five minutes later, nobody waits")
  yield* read(film(godfather))
  yield* setAhead("310 seconds")
  yield* say("The clock is set ahead.")
  const { because, key, verdict } = yield* Cached.explain(Catalogue.film, godfather)
  yield* quote(`${key} is ${verdict}: ${because}`)
  const old = yield* read(film(godfather))
  yield* stage.quiet
  const young = yield* read(film(godfather), ", refreshed meanwhile")
  yield* claim(old.stale === 1 && young.hits === 1, "the old one was served while a new one was loaded")

  yield* heading("11. An ordinary day")
  yield* say("Forty times: fifty reads, most of them of what everybody reads; then a change; then 20 seconds pass.")
  yield* ordinaryDay(stage, all.map(({ id }) => id).filter((id) => id !== grindhouse), genres, setAhead("20 seconds"))

  yield* heading("What it came to")
  const stats = yield* Cached.stats()
  yield* table(
    ["", "reads", "fresh", "stale", "loads", "avoided", "hit rate"],
    [...stats].map(([name, { hitRate, hits, loads, loadsAvoided, reads, staleServed }]) =>
      [name, reads, hits, staleServed, loads, loadsAvoided, `${(100 * hitRate).toFixed(1)} %`] as const
    )
  )
  const { total } = stage
  const asked = (yield* database.queries) - filling
  yield* say("What the reads cost, beside the same reads without a cache:")
  yield* table(["", "queries", "ms"], [
    ["cached", asked, total.millisWith.toFixed(0)],
    ["uncached", total.queriesWithout, total.millisWithout.toFixed(0)]
  ])
  yield* say(`Each of the ${count(total.reads, "answer")} was compared with the database:`)
  yield* claim(total.wrong === 0, total.wrong === 0 ? "none differs" : `${count(total.wrong, "answer")} differ`)
  return yield* stage.broken
})

/** Reads as they come: a few films are asked for often, most of them hardly ever, and some are not there. */
const ordinaryDay = Effect.fnUntraced(function*(
  stage: Effect.Success<typeof Stage.make>,
  ids: ReadonlyArray<number>,
  genres: ReadonlyArray<string>,
  timePasses: Effect.Effect<void>
) {
  const some = <A>(n: number, one: Effect.Effect<A>) => Effect.all(Array.from({ length: n }, () => one))
  const oneOf = <A>(all: ReadonlyArray<A>) => Effect.map(Random.next, (u) => all[Math.floor(all.length * u)]!)
  const popular = Effect.map(Random.next, (u) => ids[Math.floor(ids.length * u ** 10)]!)
  const unknown = Random.nextIntBetween(9000, 9005)
  for (let round = 0; round < 40; round++) {
    yield* stage.films([...yield* some(14, popular), yield* unknown])
    yield* stage.quiet
    yield* stage.page(yield* some(10, popular))
    yield* stage.cards(yield* some(15, popular))
    yield* stage.lists(yield* some(8, oneOf(genres)))
    yield* stage.statistics
    yield* stage.quiet
    yield* stage.statistics
    const id = yield* popular
    switch (round % 10) {
      case 3:
        yield* stage.edit(id, { title: `A film that was renamed in round ${round}` })
        break
      case 6:
        yield* stage.edit(id, { genre: yield* oneOf([...genres, null]) })
        break
      case 9:
        yield* stage.rescore(yield* oneOf(genres), 0.1)
        break
      default:
        yield* stage.edit(id, { rating: (yield* Random.nextIntBetween(10, 95)) / 10 })
    }
    yield* stage.quiet
    yield* timePasses
    yield* tick(".")
  }
  yield* tick("\n")
})

const inOneProcess = Effect.gen(function*() {
  yield* heading("A catalogue of films")
  yield* say("Starting Postgres in this process ...")
  const { clock, setAhead } = yield* StoryClock.make
  return yield* story(setAhead).pipe(
    Random.withSeed("catalogue"),
    Effect.provideService(Clock.Clock, clock),
    Effect.provide(Layer.mergeAll(Database.layer, MemoryCache.layer({ capacity: 10_000 })))
  )
})

const inTwoProcesses = (url: string, options: { readonly apart: boolean }) =>
  Effect.flatMap(
    // Not needed, and not loaded, by the other story.
    Effect.promise(() => import("./sideBySide.ts")),
    ({ run }) => run(url, options)
  ).pipe(Effect.catchTag("UnknownError", ({ cause }) => {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return Effect.as(say(`There is no Redis at the address that was given: ${reason}`), 1)
  }))

const { apart, redis } = parseArgs({
  options: { redis: { type: "string" }, apart: { type: "boolean", default: false } }
}).values

// Whoever is interrupted puts away what it has laid out.
const stop = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort())

const exit = await Effect.runPromiseExit(
  Effect.scoped(redis === undefined ? inOneProcess : inTwoProcesses(redis, { apart })),
  { signal: stop.signal }
)
if (Exit.isFailure(exit) && !stop.signal.aborted) throw Cause.squash(exit.cause)
if (Exit.isFailure(exit) || exit.value > 0) process.exitCode = 1
