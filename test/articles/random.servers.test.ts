/**
 * The site under writes and reads that are drawn from a seed, on a cache in memory. `npm run articles:random` runs more.
 *
 * A run that finds something is seen again by `node test/articles/main.ts --seed N`.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Database from "../../examples/articles/Database.ts"
import type { CacheStore } from "../../src/index.ts"
import { MemoryCache } from "../../src/index.ts"
import type { Dice } from "../histories/workload.ts"
import { freshDatabase } from "../support/sharedPostgres.ts"
import { withOutbox } from "./asking.ts"
import { Ledger } from "./ledger.ts"
import { type AtOnce, atOnce, type InTurn, inTurn, pause, start } from "./play.ts"
import { printOutcome, printReport } from "./print.ts"

type Spoil = (store: CacheStore.CacheStore, at: Dice) => CacheStore.CacheStore

const processes = (seed: number, spoil?: Spoil) => start([MemoryCache.makeStore({ capacity: 10_000 })], seed, spoil)

const byTurns = (options: InTurn, spoil?: Spoil) =>
  Effect.scoped(Effect.flatMap(processes(options.seed, spoil), (all) => inTurn(all, options)))

const together = (options: Pick<AtOnce, "seed" | "writes">, spoil?: Spoil) =>
  Effect.scoped(
    Effect.flatMap(processes(options.seed, spoil), (all) =>
      atOnce(all, { ...options, writers: 2, readers: 3, questions: 25 }))
  )

layer(withOutbox(Database.embedded), { excludeTestServices: true })("a site under writes that were drawn", (it) => {
  for (const seed of [1, 2]) {
    it.effect(`answers as the database does after each, seed ${seed}`, () =>
      Effect.gen(function*() {
        const report = yield* byTurns({ seed, steps: 60, invalidates: "what changed" })
        assert.deepStrictEqual(report.wrong, [], printReport(report))
        // A run in which nothing happened would mean nothing.
        assert.isAbove(report.reloads - report.needless, 50)
        assert.isAbove(report.deaths, 0)
      }))

    it.effect(`never answers with what was before a write that has returned, seed ${seed}`, () =>
      Effect.gen(function*() {
        const outcome = yield* together({ seed, writes: 20 })
        assert.deepStrictEqual([...outcome.violations, ...outcome.left], [], printOutcome(outcome))
        assert.isAbove(outcome.contested, 0)
        assert.isAbove(outcome.hitRate, 0.2)
      }))
  }

  it.effect("loads little that has not changed, and far less than if each write invalidated everything", () =>
    Effect.gen(function*() {
      const [exact, naive] = yield* Effect.forEach(
        ["what changed", "everything"] as const,
        (invalidates) => byTurns({ seed: 4, steps: 60, invalidates })
      )
      assert.deepStrictEqual(naive!.log, exact!.log)
      assert.deepStrictEqual([...naive!.wrong, ...exact!.wrong], [])
      assert.isBelow(exact!.needless / exact!.reloads, 0.15, printReport(exact!))
      assert.isAbove(naive!.needless / naive!.reloads, 0.5, printReport(naive!))
      assert.isBelow(exact!.loads, naive!.loads / 2)
    }))

  it.effect("is found out when now and then an invalidation is lost", () =>
    Effect.gen(function*() {
      const { wrong } = yield* byTurns(
        { seed: 1, steps: 100, invalidates: "what changed" },
        (store, at) => ({
          ...store,
          invalidate: (batch) => at.happens(0.2) ? Effect.succeed(0) : store.invalidate(batch)
        })
      )
      assert.isNotEmpty(wrong)
    }))

  it.effect("is found out when an invalidation returns before it is done", () =>
    Effect.gen(function*() {
      const { violations } = yield* together({ seed: 1, writes: 15 }, (store, at) => ({
        ...store,
        invalidate: (batch) => {
          const late = Effect.andThen(Effect.repeat(pause(at), { times: 10 }), store.invalidate(batch))
          return Effect.as(Effect.forkDetach(late), undefined)
        }
      }))
      assert.isNotEmpty(violations)
    }))
})

describe("a server", () => {
  it.live("gives several readers and writers what they should see", () =>
    Effect.gen(function*() {
      const url = yield* freshDatabase
      const outcome = yield* Effect.provide(
        together({ seed: 4, writes: 10 }),
        Layer.orDie(withOutbox(Database.server(url)))
      )
      assert.deepStrictEqual([...outcome.violations, ...outcome.left], [], printOutcome(outcome))
      assert.isAbove(outcome.contested, 0)
    }))
})

describe("the ledger", () => {
  const answers = (a: string) => new Map([["a", a], ["b", "same"]])

  const unseen = (ledger: Ledger) => ledger.violations().map(({ unseen }) => unseen)

  it("takes what was there when a read began or came later, and nothing older", () => {
    const ledger = new Ledger(answers("0"))
    const first = ledger.now()
    const one = ledger.committing("one", answers("1"))
    const second = ledger.now()
    one.told = ledger.now()
    const third = ledger.now()
    ledger.read("reader", "a", "0", first)
    ledger.read("reader", "a", "1", first)
    ledger.read("reader", "a", "0", second)
    ledger.read("reader", "a", "1", third)
    ledger.read("reader", "b", "same", third)
    assert.deepStrictEqual(unseen(ledger), [])
    assert.strictEqual(ledger.contested(), 3)
    ledger.read("reader", "a", "0", third)
    assert.deepStrictEqual(unseen(ledger), ["one"])
  })

  it("takes nothing that never was, or that is not yet", () => {
    const ledger = new Ledger(answers("0"))
    ledger.read("reader", "a", "2", ledger.now())
    ledger.read("reader", "a", "1", ledger.now())
    ledger.committing("one", answers("1"))
    assert.strictEqual(unseen(ledger).length, 2)
  })

  it("asks of a read only to see the writes that changed its answer", () => {
    const ledger = new Ledger(answers("0"))
    ledger.committing("one", answers("1")) // has not returned
    const two = ledger.committing("two", answers("1"))
    two.told = ledger.now()
    ledger.read("reader", "a", "0", ledger.now())
    assert.deepStrictEqual(unseen(ledger), [])
    ledger.committing("three", answers("3")).told = ledger.now()
    ledger.read("reader", "a", "0", ledger.now())
    assert.deepStrictEqual(unseen(ledger), ["three"])
  })
})
