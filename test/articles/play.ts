/**
 * Runs of the site in which everything is drawn from a seed: what is written, what is read, and who dies between a commit
 * and its telling. One after the other (`inTurn`), or several at once (`atOnce`).
 */
import { Context, Deferred, Effect, Fiber, type Scope, Semaphore } from "effect"
import { SqlClient } from "effect/sql"
import type { CacheStore } from "../../src/index.ts"
import { Cached, CacheService, Changes, Invalidation } from "../../src/index.ts"
import * as Outbox from "../../src/Outbox.ts"
import { type Dice, dice } from "../histories/workload.ts"
import {
  type Answer,
  answerOf,
  ask,
  askCache,
  askDatabase,
  type Asked,
  nextIsAsked,
  questions,
  type Reply,
  reset,
  tables
} from "./asking.ts"
import { Ledger, type State, type Violation } from "./ledger.ts"
import { draw, expected, type Move } from "./moves.ts"

/** Services of one cache, one for each process that uses it. */
export type Processes = ReadonlyArray<CacheService.CacheService>

const on = (service: CacheService.CacheService) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, CacheService.CacheService, service)

/** Lets others go on, a few times or not at all. */
export const pause = (at: Dice): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.repeat(Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve))), { times: at.below(6) })
  ).pipe(Effect.when(Effect.sync(() => at.happens(0.5))), Effect.asVoid)

/** A store that takes a while for whatever others may come between. */
const slowly = (store: CacheStore.CacheStore, at: Dice): CacheStore.CacheStore => {
  const after = <A, E>(effect: Effect.Effect<A, E>) => Effect.andThen(pause(at), effect)
  return {
    ...store,
    begin: (address, request) => after(store.begin(address, request)),
    commit: (address, lease, draft) => after(store.commit(address, lease, draft)),
    invalidate: (batch) => after(store.invalidate(batch))
  }
}

type Store = CacheStore.CacheStore

/** As many processes as stores; what each asks of its store takes a while. `spoil` makes a mistake, which is to be found. */
export const start = (
  stores: ReadonlyArray<Effect.Effect<Store, never, Scope.Scope>>,
  seed: number,
  spoil: (store: Store, at: Dice) => Store = (store) => store
): Effect.Effect<Processes, never, Scope.Scope> =>
  Effect.forEach(stores, (store, n) => {
    const at = dice(seed + 900 + n)
    return Effect.flatMap(store, (made) => CacheService.make(spoil(slowly(made, at), at)))
  })

// -----------------------------------------------------------------------------
// a client that can be stopped after a commit
// -----------------------------------------------------------------------------

/** What is done with each transaction that is nobody's part. */
interface Hooks {
  /** Inside, before its commit. */
  readonly before: Effect.Effect<void, never, SqlClient.SqlClient>
  /** After its commit, before it is told. */
  readonly after: Effect.Effect<void>
}

const nothing: Hooks = { before: Effect.void, after: Effect.void }

const Hooked = Context.Reference<Hooks>("test/articles/Hooked", { defaultValue: () => nothing })

const Inside = Context.Reference<boolean>("test/articles/Inside", { defaultValue: () => false })

/** The client, whose transactions take turns: the order of the commits is then known. */
const inTurns = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const turn = yield* Semaphore.make(1)
  const outermost = <A, E, R>(effect: Effect.Effect<A, E, R>, { after, before }: Hooks) =>
    effect.pipe(
      Effect.tap(before),
      Effect.provideService(Inside, true),
      sql.withTransaction,
      Semaphore.withPermits(turn, 1),
      Effect.tap(after)
    )
  const withTransaction = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      return yield* (yield* Inside) ? sql.withTransaction(effect) : outermost(effect, yield* Hooked)
    })
  return new Proxy(sql, {
    get: (target, property) => property === "withTransaction" ? withTransaction : Reflect.get(target, property)
  })
})

/** Runs a write up to its commit, and stops it there for ever. Gives whether there was one. */
const dying = <A, E, R>(write: Effect.Effect<A, E, R>): Effect.Effect<boolean, E, R> =>
  Effect.gen(function*() {
    const committed = yield* Deferred.make<boolean>()
    const after = Effect.andThen(Deferred.succeed(committed, true), Effect.never)
    const { before, after: first } = yield* Hooked
    const fiber = yield* Effect.forkDetach(
      Effect.provideService(write, Hooked, { before, after: Effect.andThen(first, after) })
    )
    return yield* Effect.raceFirst(Deferred.await(committed), Effect.as(Fiber.join(fiber), false))
  })

const relay = Effect.orDie(Effect.repeat(Outbox.relay({ grace: 0 }), { until: (delivered) => delivered === 0 }))

/** What is made first in a table has been asked for before. */
const begin = Effect.andThen(reset, Effect.forEach(tables, nextIsAsked, { discard: true }))

// -----------------------------------------------------------------------------
// one after the other
// -----------------------------------------------------------------------------

export interface InTurn {
  readonly seed: number
  readonly steps: number
  /** What is invalidated by a write: what it changed, or everything. */
  readonly invalidates: "what changed" | "everything"
}

export interface Wrong {
  readonly step: number
  readonly key: string
  readonly answer: Answer
  readonly is: Answer
}

/** What came of a run. */
export interface Report {
  readonly steps: number
  readonly deaths: number
  readonly refused: number
  readonly reads: number
  /** Reads that had to load. */
  readonly loads: number
  /** Of these, those of what had been loaded before. */
  readonly reloads: number
  /** Of these, those that came to what was there. */
  readonly needless: number
  /** The writes, as far as they went. */
  readonly log: ReadonlyArray<string>
  /** The first wrong answers; the run ends with them. */
  readonly wrong: ReadonlyArray<Wrong>
}

const readsOfStep = 8

/** Any question of any read. */
const drawQuestion = (at: Dice, all: ReadonlyMap<string, Asked>): Asked => {
  const names = [...new Set([...all.values()].map(({ read }) => read.name))]
  const name = at.pick(names)
  return at.pick([...all.values()].filter(({ read }) => read.name === name))
}

/**
 * Writes and reads by turns. After each write some questions are asked in any of the processes, and compared with the
 * database. A write that died is told by a relay, and nothing is compared until then.
 */
export const inTurn = (processes: Processes, { invalidates, seed, steps }: InTurn) =>
  Effect.gen(function*() {
    yield* begin
    const at = dice(seed)
    const last = new Map<string, Answer>()
    const log: Array<string> = []
    const wrong: Array<Wrong> = []
    const counts = { deaths: 0, refused: 0, reads: 0, loads: 0, reloads: 0, needless: 0 }
    const everything = invalidates === "everything"
    let asked = yield* questions()
    let step = 0

    const count = ({ answer, key, loaded }: Reply): void => {
      counts.reads++
      if (loaded) {
        counts.loads++
        if (last.has(key)) {
          counts.reloads++
          if (last.get(key) === answer) counts.needless++
        }
      }
      last.set(key, answer)
    }

    const perform = ({ write }: Move, dies: boolean) =>
      (dies ? Effect.tap(dying(write), (died) => Effect.sync(() => void (died && counts.deaths++))) : write).pipe(
        Effect.catch((refusal) => Effect.andThen(Effect.sync(() => counts.refused++), expected(refusal))),
        everything ? Changes.disconnected("cache") : (effect) => effect
      )

    const look = (compare: boolean) =>
      Effect.gen(function*() {
        const question = drawQuestion(at, asked)
        const reply = yield* on(at.pick(processes))(ask(question))
        count(reply)
        const is = yield* answerOf(question.fresh)
        if (compare && reply.answer !== is) wrong.push({ step, key: question.key, answer: reply.answer, is })
      })

    for (const [key, { answer }] of yield* on(processes[0]!)(askCache(asked))) last.set(key, answer)
    while (++step <= steps && wrong.length === 0) {
      const move = yield* draw(at, [...asked.values()])
      const dies = at.happens(0.1)
      log.push(`${move.name}${dies ? " and dies" : ""}`)
      yield* on(at.pick(processes))(perform(move, dies))
      if (dies) {
        // Somebody may read meanwhile, and what they load is kept.
        for (let n = at.below(4); n > 0; n--) yield* look(false)
        const told = everything ? Changes.disconnected("cache")(relay) : relay
        yield* on(at.pick(processes))(told)
      }
      if (everything) yield* on(processes[0]!)(Cached.apply(Invalidation.everything))
      asked = yield* questions(asked)
      for (let n = 0; n < readsOfStep; n++) yield* look(true)
    }
    // At the end everything is asked, everywhere.
    const there = yield* askDatabase(asked)
    for (const process of processes) {
      for (const { answer, key } of (yield* on(process)(askCache(asked))).values()) {
        if (answer !== there.get(key)) wrong.push({ step, key, answer, is: there.get(key)! })
      }
    }
    return { steps: log.length, ...counts, log, wrong } satisfies Report
  }).pipe(Effect.provideServiceEffect(SqlClient.SqlClient, inTurns))

// -----------------------------------------------------------------------------
// several at once
// -----------------------------------------------------------------------------

export interface AtOnce {
  readonly seed: number
  /** Of each writer. */
  readonly writes: number
  readonly writers: number
  readonly readers: number
  /** So many questions are read and compared: each is asked of the database at every commit. */
  readonly questions: number
}

export interface Outcome {
  readonly commits: number
  readonly deaths: number
  readonly reads: number
  readonly hitRate: number
  /** Reads while a write that concerned them was under way. */
  readonly contested: number
  readonly log: ReadonlyArray<string>
  readonly violations: ReadonlyArray<Violation>
  /** Keys whose answer was wrong when all was over. */
  readonly left: ReadonlyArray<string>
}

/** Writers, readers and a relay at once. */
export const atOnce = (processes: Processes, options: AtOnce) =>
  Effect.gen(function*() {
    yield* begin
    const { seed } = options
    const every = yield* questions()
    const choose = dice(seed)
    const pool = new Map<string, Asked>()
    while (pool.size < options.questions) {
      const question = drawQuestion(choose, every)
      pool.set(question.key, question)
    }
    const asked = [...pool.values()]
    const ledger = new Ledger(yield* askDatabase(pool))
    const untold: Array<State> = []
    const log: Array<string> = []
    let deaths = 0
    const busy = { writers: options.writers }

    const pauses = dice(seed + 500)
    /** What the database answers is asked inside, so of this state and no other. */
    const recording = (name: string, states: Array<State>): Hooks => ({
      before: Effect.map(askDatabase(pool), (answers) => void states.push(ledger.committing(name, answers))),
      after: pause(pauses)
    })

    const writer = (which: number) =>
      Effect.gen(function*() {
        const at = dice(seed * 100 + which)
        for (let n = 0; n < options.writes; n++) {
          const move = yield* draw(at, asked)
          const dies = at.happens(0.1)
          const name = `writer ${which}: ${move.name}${dies ? " and dies" : ""}`
          log.push(name)
          const states: Array<State> = []
          const died = yield* (dies ? dying(move.write) : Effect.as(move.write, false)).pipe(
            Effect.catch((refusal) => Effect.as(expected(refusal), false)),
            Effect.provideService(Hooked, recording(name, states)),
            on(processes[which % processes.length]!)
          )
          if (died) {
            deaths++
            untold.push(...states)
          } else {
            const told = ledger.now()
            for (const state of states) state.told = told
          }
          yield* pause(at)
        }
      }).pipe(Effect.ensuring(Effect.sync(() => void busy.writers--)))

    const reader = (which: number) =>
      Effect.gen(function*() {
        const at = dice(seed * 100 + 50 + which)
        const process = on(processes[which % processes.length]!)
        while (busy.writers > 0) {
          for (let n = 1 + at.below(8); n > 0; n--) {
            const { cached, key } = at.pick(asked)
            const began = ledger.now()
            const answer = yield* process(answerOf(cached))
            ledger.read(`reader ${which}`, key, answer, began)
          }
          yield* pause(at)
        }
      })

    /** Tells what those who died have left. */
    const tell = Effect.gen(function*() {
      const dead = untold.splice(0)
      yield* on(processes[0]!)(relay)
      const told = ledger.now()
      for (const state of dead) state.told = told
    })

    const relaying = (at: Dice) =>
      Effect.gen(function*() {
        while (busy.writers > 0) {
          yield* tell
          yield* Effect.repeat(pause(at), { times: 20 })
        }
      })

    yield* Effect.all([
      ...Array.from({ length: options.writers }, (_, n) => writer(n)),
      ...Array.from({ length: options.readers }, (_, n) => reader(n)),
      relaying(dice(seed + 700))
    ], { concurrency: "unbounded" })
    yield* tell

    const all = yield* questions(every)
    const there = yield* askDatabase(all)
    const left: Array<string> = []
    const stats = { hits: 0, reads: 0 }
    for (const process of processes) {
      for (const { hits, reads, staleServed } of (yield* on(process)(Cached.stats())).values()) {
        stats.hits += hits + staleServed
        stats.reads += reads
      }
      for (const { answer, key } of (yield* on(process)(askCache(all))).values()) {
        if (answer !== there.get(key)) left.push(key)
      }
    }
    return {
      commits: ledger.states.length - 1,
      deaths,
      reads: ledger.reads.length,
      hitRate: stats.hits / stats.reads,
      contested: ledger.contested(),
      log,
      violations: ledger.violations(),
      left
    } satisfies Outcome
  }).pipe(Effect.provideServiceEffect(SqlClient.SqlClient, inTurns))
