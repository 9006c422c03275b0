/**
 * The catalogue in two processes, A and B, that share a cache on Redis and a Postgres, which lives in this one. What one
 * of them loads the other need not load, and what one of them changes the other sees.
 *
 * Every answer is compared with the database. One that differs, or a claim that does not hold, counts as broken.
 */
import { Deferred, Effect, Fiber, Random, Schedule } from "effect"
import { Redis } from "ioredis"
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import * as data from "./data.ts"
import { Database, open } from "./Database.ts"
import type { Film } from "./Film.ts"
import * as Origin from "./Origin.ts"
import { bold, green, heading, line, print, quote, red, say, table, tick, yellow } from "./report.ts"
import * as Repository from "./Repository.ts"
import { count } from "./stage.ts"
import type { Command, Report, Took } from "./worker.ts"

const [pulpFiction, groundhogDay, amelie, tombstone] = [742, 390, 1164, 959]

// -----------------------------------------------------------------------------
// Redis, the database, and the processes
// -----------------------------------------------------------------------------

/** A connection of our own: to see that there is a server, to look at what lies there, and to take it away again. */
const connect = (url: string) =>
  Effect.acquireRelease(
    Effect.tryPromise(async () => {
      const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: null })
      redis.on("error", () => {})
      await redis.connect()
      return redis
    }),
    (redis) => Effect.sync(() => redis.disconnect())
  )

const keysOf = (redis: Redis, prefix: string) =>
  Effect.promise(async () => {
    const keys = new Set<string>()
    for await (const some of redis.scanStream({ match: `${prefix}*`, count: 500 })) {
      for (const key of some as ReadonlyArray<string>) keys.add(key)
    }
    return [...keys]
  })

const removeKeys = (redis: Redis, prefix: string) =>
  Effect.flatMap(
    keysOf(redis, prefix),
    (keys) => keys.length === 0 ? Effect.void : Effect.promise(() => redis.unlink(keys))
  )

/** Waits until a process waits for what another loads: the lease says so. Two caches that are apart never do. */
const waitForWaiters = (redis: Redis, prefix: string) => (key: string) =>
  Effect.promise(() => redis.get(`${prefix}:l:{${key}}`)).pipe(
    Effect.repeat({ until: (lease) => lease !== null && lease.startsWith("1"), schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOption("2 seconds")
  )

/** A database that can be made to wait: the next query that contains a text is held up until it is let go. */
const makeOrigin = Effect.gen(function*() {
  const postgres = yield* open
  let held: { readonly text: string; readonly reached: () => void; readonly letGo: Promise<void> } | undefined
  const serve = Origin.serve(postgres, async (sql) => {
    if (held === undefined || !sql.includes(held.text)) return
    const { letGo, reached } = held
    held = undefined
    reached()
    await letGo
  })
  const hold = (text: string) =>
    Effect.gen(function*() {
      const [reached, letGo] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const done = (deferred: Deferred.Deferred<void>) => Effect.asVoid(Deferred.succeed(deferred, undefined))
      held = {
        text,
        reached: () => Effect.runSync(done(reached)),
        letGo: Effect.runPromise(Deferred.await(letGo))
      }
      return { reached: Deferred.await(reached), letGo: done(letGo) }
    })
  return { postgres, serve, hold }
})

type OriginInParent = Effect.Success<typeof makeOrigin>

/** Starts a process, and lets it go at the end. */
const start = Effect.fnUntraced(function*(name: string, env: NodeJS.ProcessEnv, { serve }: OriginInParent) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => fork(new URL("worker.ts", import.meta.url), { env, serialization: "advanced" })),
    (child) => Effect.promise(() => letGo(child))
  )
  const ask = Origin.converse(child, (question) => serve(question as Origin.Question))
  const tell = <A>(command: Command) => Effect.promise(() => ask(command) as Promise<A>)
  return {
    name,
    films: (keys: ReadonlyArray<number>) => tell<Took>({ _tag: "Films", keys }),
    cards: (keys: ReadonlyArray<number>) => tell<Took>({ _tag: "Cards", keys }),
    lists: (keys: ReadonlyArray<string>) => tell<Took>({ _tag: "Lists", keys }),
    years: tell<Took>({ _tag: "Years" }),
    edit: (id: number, changes: Partial<Omit<Film, "id">>) => tell<string>({ _tag: "Edit", id, changes }),
    rescore: (genre: string, by: number) => tell<number>({ _tag: "Rescore", genre, by }),
    glance: (ids: ReadonlyArray<number>) => tell<void>({ _tag: "Glance", ids }),
    explain: (id: number) => tell<string>({ _tag: "Explain", id }),
    report: tell<Report>({ _tag: "Report" })
  }
})

const letGo = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, "exit")
  if (child.connected) child.disconnect()
  // One that does not go is made to.
  const limit = setTimeout(() => child.kill("SIGKILL"), 5_000)
  await exited
  clearTimeout(limit)
}

type Worker = Effect.Success<ReturnType<typeof start>>

// -----------------------------------------------------------------------------
// the story
// -----------------------------------------------------------------------------

const queries = (n: number): string => count(n, "query", "queries")

const story = Effect.fnUntraced(function*(
  a: Worker,
  b: Worker,
  { hold, othersWait }: Pick<OriginInParent, "hold"> & { readonly othersWait: ReturnType<typeof waitForWaiters> }
) {
  let broken = 0
  const claim = (holds: boolean, text: string) => {
    if (!holds) broken++
    return line(holds ? `ok: ${text}` : `NOT SO: ${text}`, "", "", holds ? green : red)
  }
  const both = <A, E, R>(one: (worker: Worker) => Effect.Effect<A, E, R>) =>
    Effect.all([one(a), one(b)], { concurrency: "unbounded" })

  const show = (worker: Worker, what: string, took: Took, remark = "") => {
    const [became, colour] = took.loads > 0 ? ["loaded", yellow] as const : ["from the cache", green] as const
    const wrong = took.wrong > 0 ? `, ${count(took.wrong, "wrong answer")}` : ""
    return line(`${worker.name}: ${what}`, became, `${queries(took.queries)}${remark}${wrong}`, colour)
  }

  /** What can be asked of either process. */
  const film = (id: number) => ({ of: `film ${id}`, ask: (worker: Worker) => worker.films([id]) })
  const card = (id: number) => ({ of: `card ${id}`, ask: (worker: Worker) => worker.cards([id]) })
  const best = (genre: string) => ({ of: `best of ${genre}`, ask: (worker: Worker) => worker.lists([genre]) })
  const years = { of: "years", ask: (worker: Worker) => worker.years }
  type Question = typeof years

  const read = (worker: Worker, { ask, of }: Question, remark = "") =>
    Effect.tap(ask(worker), (took) => show(worker, of, took, remark))

  /** One reads and has to load; the other reads and has not. */
  const loadedOnce = Effect.fnUntraced(function*(first: Worker, second: Worker, question: Question) {
    const cold = yield* read(first, question)
    const warm = yield* read(second, question)
    const once = cold.loads === 1 && warm.loads === 0 && cold.wrong + warm.wrong === 0
    if (!once) yield* claim(false, `${question.of}: loaded by ${first.name}, and by nobody else`)
  })

  yield* heading("1. What A loads, B need not load")
  for (const question of [film(pulpFiction), card(pulpFiction), best("Drama"), years]) {
    yield* loadedOnce(a, b, question)
  }

  /** One changes a film; the other must load what shows it, and nothing else; what that loaded is there for the first. */
  const change = Effect.fnUntraced(function*(
    writer: Worker,
    reader: Worker,
    edit: readonly [id: number, changes: Partial<Omit<Film, "id">>],
    { drops, keeps }: { readonly drops: ReadonlyArray<Question>; readonly keeps: ReadonlyArray<Question> }
  ) {
    for (const { ask } of [...drops, ...keeps]) yield* ask(reader)
    yield* quote(`${writer.name}: ${yield* writer.edit(...edit)}`)
    for (const question of drops) yield* loadedOnce(reader, writer, question)
    for (const question of keeps) {
      const { loads, wrong } = yield* read(reader, question, ", was left alone")
      if (loads + wrong > 0) yield* claim(false, `${question.of} was to be left alone`)
    }
  })

  yield* heading("2. What B changes, A sees")
  yield* say("Groundhog Day is liked more than was thought. Its card shows title and year.")
  yield* change(b, a, [groundhogDay, { rating: 8.6 }], {
    drops: [film(groundhogDay), best("Comedy"), years],
    keeps: [card(groundhogDay), film(pulpFiction)]
  })
  yield* say("And the other way round:")
  yield* change(a, b, [amelie, { title: "Le Fabuleux destin d'Amélie Poulain" }], {
    drops: [film(amelie), card(amelie), best("Comedy")],
    keeps: [years, best("Drama")]
  })

  yield* heading("3. Fifty callers in two processes, one query")
  const callers = Array.from({ length: 25 }, () => "Adventure")
  const slow = yield* hold("where genre = $1")
  const crowd = yield* Effect.forkChild(both((worker) => worker.lists(callers)))
  yield* slow.reached
  yield* othersWait("best:Adventure")
  yield* slow.letGo
  const [ofA, ofB] = yield* Fiber.join(crowd)
  for (const [worker, took] of [[a, ofA], [b, ofB]] as const) {
    yield* show(
      worker,
      "best of Adventure, 25 x",
      took,
      took.loads > 0 ? `, ${took.joined} joined the first` : ", waited for the other"
    )
  }
  yield* claim(ofA.queries + ofB.queries === 1, "a cold key, fifty callers at once, one query")

  yield* heading("4. A tag that is found in the value, and a fence")
  yield* loadedOnce(a, b, film(tombstone))
  yield* say(
    "B changes the ratings of all Westerns by one query, which cannot say of which films, behind a fence over two tags. " +
      "The query takes its time. Meanwhile A asks why, and reads:"
  )
  const writing = yield* hold("with changed as")
  const writer = yield* Effect.forkChild(b.rescore("Western", 0.1))
  yield* writing.reached
  const why = yield* a.explain(tombstone)
  yield* quote(why)
  yield* claim(why.includes("tag genre:Western invalidated"), "the tag was found in the value, and took")
  const meanwhile = yield* read(a, film(tombstone), ", true until B has written")
  const again = yield* read(a, film(tombstone), ", and not kept")
  yield* claim(meanwhile.loads === 1 && again.loads === 1, "what was read behind the fence was not kept")
  yield* writing.letGo
  yield* say(`B has changed ${count(yield* Fiber.join(writer), "film")}.`)
  yield* loadedOnce(a, b, film(tombstone))

  yield* heading("5. Both read, both write")
  yield* say("Twenty times: both read; then one of them writes while the other goes on reading; then both read again.")
  const wrong = yield* traffic(a, b)
  yield* claim(wrong === 0, "after each write both processes agree with the database")

  yield* heading("What it came to")
  const reports = yield* both((worker) => worker.report)
  for (const [i, { rows }] of reports.entries()) {
    yield* print([bold(`Process ${"AB"[i]}`)])
    yield* table(["", "reads", "fresh", "loads", "avoided", "hit rate"], rows)
  }
  const sum = (of: (report: Report) => number) => reports.reduce((total, report) => total + of(report), 0)
  yield* say("What the reads cost, beside the same reads without a cache:")
  yield* table(["", "queries"], [
    ["cached", sum(({ queries }) => queries)],
    ["uncached", sum(({ queriesWithout }) => queriesWithout)]
  ])
  const differ = sum(({ wrong }) => wrong)
  yield* say(`Each of the ${count(sum(({ reads }) => reads), "answer")} was compared with the database:`)
  yield* claim(differ === 0, differ === 0 ? "none differs" : `${count(differ, "answer")} differ`)
  return broken
})

/** Gives the number of wrong answers. */
const traffic = Effect.fnUntraced(function*(a: Worker, b: Worker) {
  const genres = ["Drama", "Comedy", "Western", "Horror"]
  const ids = Array.from({ length: 12 }, (_, i) => pulpFiction + i)
  const oneOf = <A>(all: ReadonlyArray<A>) => Effect.map(Random.next, (u) => all[Math.floor(all.length * u)]!)
  const ask = (worker: Worker) =>
    Effect.map(
      Effect.all([worker.films(ids), worker.cards(ids), worker.lists(genres), worker.years]),
      (all) => all.reduce((sum, { wrong }) => sum + wrong, 0)
    )
  const bothAsk = Effect.map(Effect.all([ask(a), ask(b)], { concurrency: "unbounded" }), ([one, other]) => one + other)
  let wrong = 0
  for (let round = 0; round < 20; round++) {
    const [writer, reader] = round % 2 === 0 ? [a, b] : [b, a]
    const id = yield* oneOf(ids)
    const genre = yield* oneOf(genres)
    const rating = (yield* Random.nextIntBetween(10, 95)) / 10
    const write = [
      writer.edit(id, { rating }),
      writer.edit(id, { title: `A film that was renamed in round ${round}` }),
      writer.edit(id, { genre }),
      writer.rescore(genre, 0.1)
    ][round % 4]!
    wrong += yield* bothAsk
    yield* Effect.all([write, reader.glance(ids)], { concurrency: "unbounded" })
    wrong += yield* bothAsk
    yield* tick(".")
  }
  yield* tick("\n")
  return wrong
})

/** What lies in Redis in the end, by kind. */
const showKeys = Effect.fnUntraced(function*(redis: Redis, prefix: string) {
  const kinds = { e: "entries", l: "leases", m: "markers", j: "journal", f: "fences" }
  const keys = yield* keysOf(redis, prefix)
  const kindOf = (key: string) => key.slice(prefix.length).split(":")[1]
  yield* say("What lies in Redis now, and is removed:")
  yield* table(
    ["", "keys"],
    Object.entries(kinds).map(([letter, kind]) => [kind, keys.filter((key) => kindOf(key) === letter).length] as const)
  )
})

/**
 * Runs the story on a server, and gives how many claims did not hold. With `apart` each process has a prefix, and so a
 * cache, of its own: neither hears of what the other changes, and the comparison has to see it.
 */
export const run = Effect.fnUntraced(function*(url: string, options: { readonly apart: boolean }) {
  yield* heading("A catalogue of films, in two processes")
  const redis = yield* connect(url)
  const prefix = `catalogue-${process.pid}-${crypto.randomUUID().slice(0, 8)}`
  yield* Effect.addFinalizer(() => removeKeys(redis, prefix))
  yield* say(`Starting Postgres in this process; what is cached lies in Redis under ${prefix} ...`)
  const origin = yield* makeOrigin
  const all = yield* data.films
  yield* Repository.add(...all).pipe(Effect.provide(Database.layerOf(origin.postgres)))
  const startOne = (name: string) =>
    start(
      name,
      { ...process.env, REDIS_URL: url, CACHE_PREFIX: options.apart ? `${prefix}-${name}` : prefix },
      origin
    )
  const [a, b] = yield* Effect.all([startOne("A"), startOne("B")], { concurrency: "unbounded" })
  const broken = yield* Random.withSeed(
    story(a, b, { hold: origin.hold, othersWait: waitForWaiters(redis, prefix) }),
    "side by side"
  )
  yield* showKeys(redis, prefix)
  return broken
}, Effect.scoped)
