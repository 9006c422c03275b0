/**
 * What the story is told with: questions that are put to the cache and to the database, changes that say what they must
 * drop and what they must leave alone, and claims.
 */
import { Effect, Ref, Stream } from "effect"
import { Cached, CacheService, Change, Invalidation } from "../../src/index.ts"
import * as Audit from "./audit.ts"
import * as Card from "./Card.ts"
import * as Catalogue from "./Catalogue.ts"
import { Database, type DatabaseError } from "./Database.ts"
import { type Film, Films } from "./Film.ts"
import * as Report from "./report.ts"
import * as Repository from "./Repository.ts"

export const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString("en")} ${n === 1 ? one : many}`

const queries = (n: number): string => count(n, "query", "queries")

/** A question that can be put again, and whose entry can be looked at. */
interface Question {
  readonly of: string
  readonly ask: Effect.Effect<Audit.Answer<unknown, unknown>, DatabaseError, Database | CacheService.CacheService>
  readonly explain: Effect.Effect<Cached.Explanation, unknown, Database | CacheService.CacheService>
}

/**
 * Listens to the cache, and gives an effect that waits until what was served stale has been loaded again: a story that
 * is told twice must not depend on which of two was faster.
 */
const listen = Effect.gen(function*() {
  const awaited = new Set<string>()
  let heard = 0
  yield* CacheService.events.pipe(
    Stream.runForEach((event) =>
      Effect.sync(() => {
        if (event._tag === "StaleServed") {
          heard++
          awaited.add(event.key)
        } else if (event._tag === "Load") awaited.delete(event.key)
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
  return Effect.gen(function*() {
    for (;;) {
      const served = [...(yield* Cached.stats()).values()].reduce((sum, { staleServed }) => sum + staleServed, 0)
      if (heard === served && awaited.size === 0) return
      yield* Effect.sleep("1 millis")
    }
  }).pipe(Effect.timeout("5 seconds"))
})

export const make = Effect.gen(function*() {
  const database = yield* Database
  // Writes have a count of their own, so that what `database` counts is what the reads cost.
  const write = Effect.provideService(Database, yield* database.another)
  const { ask, total } = yield* Audit.make
  const broken = yield* Ref.make(0)
  const quiet = yield* listen

  const claim = Effect.fnUntraced(function*(holds: boolean, text: string) {
    if (!holds) yield* Ref.update(broken, (n) => n + 1)
    yield* Report.line(holds ? `ok: ${text}` : `NOT SO: ${text}`, "", "", holds ? Report.green : Report.red)
  })

  // What can be asked: of the cache, and of the database itself.
  const films = (ids: ReadonlyArray<number>) => ask(Catalogue.film, ids, Audit.each(Repository.film))
  const page = (ids: ReadonlyArray<number>) =>
    ask(Catalogue.film, ids, Repository.films, (ids) => Cached.getMany(Catalogue.film, ids, { mode: "result" }))
  const cards = (ids: ReadonlyArray<number>) => ask(Catalogue.card, ids, Audit.each(Card.render))
  const lists = (genres: ReadonlyArray<string>) => ask(Catalogue.bestOf, genres, Audit.each(Repository.bestOf))
  const statistics = ask(Catalogue.years, [undefined], Audit.each(Repository.years))

  const film = (id: number) => ({ of: `film ${id}`, ask: films([id]), explain: Cached.explain(Catalogue.film, id) })
  const card = (id: number) => ({ of: `card ${id}`, ask: cards([id]), explain: Cached.explain(Catalogue.card, id) })
  const best = (genre: string) => ({
    of: `best of ${genre}`,
    ask: lists([genre]),
    explain: Cached.explain(Catalogue.bestOf, genre)
  })
  const years = { of: "years", ask: statistics, explain: Cached.explain(Catalogue.years, undefined) }

  const show = (of: string, answer: Audit.Answer<unknown, unknown>, remark = "") => {
    const [became, colour] = answer.loads > 0
      ? ["loaded", Report.yellow] as const
      : answer.stale > 0
      ? ["served stale", Report.green] as const
      : ["from the cache", Report.green] as const
    return Report.line(of, became, `${queries(answer.queries)}${remark}`, colour)
  }

  const read = (question: Question, remark = "") =>
    Effect.tap(question.ask, (answer) => show(question.of, answer, remark))

  /** Publishes a change, says what it touches, and reads again: what it had to drop, and what it had to leave alone. */
  const change = Effect.fnUntraced(function*<E, R>(
    publishing: Effect.Effect<Change.Change, E, R>,
    { drops, keeps }: { readonly drops: ReadonlyArray<Question>; readonly keeps: ReadonlyArray<Question> }
  ) {
    const all = [...drops, ...keeps]
    for (const { ask } of all) yield* ask
    const change = yield* publishing
    yield* Report.quote(`${Change.format(change)}: ${Invalidation.changes(change)}`)
    for (const question of all) {
      const { verdict } = yield* question.explain
      const answer = yield* read(question, verdict === "Fresh" ? ", was left alone" : ", was dropped")
      const [wanted, happened] = drops.includes(question) ? ["Dead", answer.loads > 0] : ["Fresh", answer.hits > 0]
      if (verdict !== wanted || !happened) yield* claim(false, `${question.of} should have been ${wanted}`)
    }
  })

  const edit = (id: number, changes: Partial<Omit<Film, "id">>) =>
    Effect.map(write(Catalogue.edit(id, changes)), ({ after, before }) => Films.updated(before, after))
  const add = (film: Film) => Effect.as(write(Catalogue.add(film)), Films.created(film))
  const remove = (id: number) => Effect.map(write(Catalogue.remove(id)), Films.deleted)
  const rescore = (genre: string, by: number) => write(Catalogue.rescore(genre, by))

  return {
    ...{ film, card, best, years, read },
    ...{ films, page, cards, lists, statistics, show },
    ...{ change, edit, add, remove, rescore },
    ...{ quiet, claim },
    broken: Ref.get(broken),
    total
  }
})
