/** Long lists on a real Redis: everything is sent in bounded pieces, and nothing throws in the client. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import { atOnce, mostDependencies } from "../../src/internal/limits.ts"
import type * as Transport from "../../src/internal/redis/transport.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { at, begin, load, serviceOn } from "../support/port.ts"
import { lentNode5, listening, oneNode, Origin, start, storeOf } from "../support/redisCache.ts"
import { freshPrefix } from "../support/sharedRedis.ts"

const tags = (count: number) => Array.from({ length: count }, (_, i) => `tag ${i}`)

type Tags = Policy.Policy<string, number>

const fromKey = (count: number): Tags => Policy.tagged(() => tags(count))
const fromValue = (count: number): Tags => Policy.tagged({ fromValue: () => tags(count) })

const numbers = (origin: Origin, policy: Tags = Policy.forever) =>
  Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => origin.load }, policy)

/** A store from its parts, and the most keys that one command of it has named, and scripts that ran at once. */
const measured = (split: boolean) =>
  Effect.gen(function*() {
    const most = { script: 0, read: 0, atOnce: 0 }
    let running = 0
    const layer = serviceOn(storeOf(freshPrefix(), split, (transport) => {
      const noting = (run: Transport.Transport["run"]): Transport.Transport["run"] => (operation, script, keys, args) =>
        Effect.suspend(() => {
          most.script = Math.max(most.script, keys.length)
          most.atOnce = Math.max(most.atOnce, ++running)
          return Effect.onExit(run(operation, script, keys, args), () => Effect.sync(() => void running--))
        })
      return { ...transport, run: noting(transport.run), runAcknowledged: noting(transport.runAcknowledged) }
    }, (client) => ({
      ...client,
      get: (operation, keys) => {
        most.read = Math.max(most.read, keys.length)
        return client.get(operation, keys)
      }
    })))
    return { most, process: yield* start(layer) }
  })

for (const [what, split] of [["one script", false], ["several steps", true]] as const) {
  describe(`an operation is ${what}`, () => {
    for (const [where, policy] of [["key", fromKey], ["value", fromValue]] as const) {
      it.live(`what a ${where} tells: at the limit it is stored, in bounded commands; far above it is served`, () =>
        Effect.gen(function*() {
          const { most, process } = yield* measured(split)
          const origin = new Origin()
          const large = numbers(origin, policy(mostDependencies))
          for (let i = 0; i < 3; i++) yield* process.run(Cached.get(large, "large"))
          yield* process.run(Cached.explain(large, "large"))
          assert.strictEqual(origin.loads, 1)
          yield* process.run(Cached.apply(Invalidation.tags("tag 1999")))
          yield* process.run(Cached.get(large, "large"))
          assert.strictEqual(origin.loads, 2)
          const tooLarge = numbers(origin, policy(24_000))
          for (let i = 0; i < 2; i++) yield* process.run(Cached.get(tooLarge, "too large"))
          yield* process.run(Cached.explain(tooLarge, "too large"))
          assert.strictEqual(origin.loads, 4)
          assert.isAtMost(most.script, mostDependencies + 4)
          assert.isAtMost(most.read, 500)
        }))
    }

    it.live("invalidations and fences of any length are sent in pieces", () =>
      Effect.gen(function*() {
        const { most, process } = yield* measured(split)
        const origin = new Origin()
        const cached = numbers(origin, fromKey(1))
        const names = tags(2500)
        const last = "tag 2499"
        const all = Cached.invalidation(cached, split ? names : [...tags(33_000), last])
        for (
          const act of [
            Cached.mutate(Effect.void, all),
            Cached.invalidateMany(cached, names),
            Cached.apply(Invalidation.tags(names))
          ]
        ) {
          yield* process.run(Cached.get(cached, last))
          const { loads } = origin
          yield* process.run(act)
          yield* process.run(Cached.get(cached, last))
          assert.strictEqual(origin.loads, loads + 1)
        }
        // Of each key its entry, its lease and its marker; beside them the journal and the fences.
        assert.isAtMost(most.script, 3 * 200 + 2)
      }))
  })
}

it.live("a fence over more than 2000 targets is one over everything, and is warned of once", () =>
  Effect.gen(function*() {
    const log = listening()
    const { process: { run } } = yield* Effect.provide(measured(false), log.layer)
    const origin = new Origin()
    const beside = numbers(origin)
    /** How many of two reads of another key load, while the fence stands. */
    const loadsUnder = (targets: number) =>
      Effect.gen(function*() {
        const key = `beside ${targets}`
        const { loads } = origin
        const twice = Effect.andThen(Cached.get(beside, key), Cached.get(beside, key))
        yield* run(Cached.mutate(twice, Invalidation.tags(tags(targets))))
        return origin.loads - loads
      })
    const seen = Effect.provide(Effect.forEach([2000, 2001, 2002], loadsUnder), log.layer)
    assert.deepStrictEqual(yield* seen, [1, 2, 2])
    assert.lengthOf(log.warnings(), 1, log.warnings().join("\n"))
    assert.match(log.warnings()[0]!, /a fence over 2001 targets is one over everything.*more than 2000/)
  }))

it.live("thousands of cold keys are all cached, and a read beside them is a hit", () =>
  Effect.gen(function*() {
    const { most, process: { run } } = yield* measured(false)
    const origin = new Origin()
    const beside = numbers(origin)
    const ids = Array.from({ length: 5000 }, (_, i) => i)
    const batches: Array<number> = []
    let hits = 0
    const row = Cached.make("row", {
      key: Key.int("id"),
      value: Schema.Int,
      lookup: Effect.succeed,
      lookupMany: (ids) =>
        Effect.gen(function*() {
          batches.push(ids.length)
          // While others have been stored, and more are to come.
          yield* run(Cached.get(beside, "a"))
          hits++
          return ids.map((id) => Result.succeed(id))
        })
    }, Policy.forever)
    yield* run(Cached.get(beside, "a"))
    assert.deepStrictEqual(yield* run(Cached.getMany(row, ids)), ids)
    assert.deepStrictEqual(batches, Array.from({ length: 5 }, () => 1000))
    assert.deepStrictEqual([origin.loads, hits], [1, 5])
    const { loads, storeFailures } = yield* run(Cached.stats(row))
    assert.deepStrictEqual({ loads, storeFailures }, { loads: 5000, storeFailures: 0 })
    yield* run(Cached.getMany(row, ids))
    assert.strictEqual(batches.length, 5)
    assert.isAtMost(most.atOnce, atOnce)
  }))

// No store is told of so many by the library. Whoever uses the port of a store may do so.
for (const { layer, name } of [oneNode, lentNode5]) {
  it.live(`a command of any length is sent as any other, and disturbs none beside it: ${name}`, () =>
    Effect.gen(function*() {
      const { run, service: { store } } = yield* start(layer({ prefix: freshPrefix() }))
      const cached = Cached.make("square", {
        key: Key.int("of"),
        value: Schema.Int,
        lookup: (of) => Effect.succeed(of * of)
      }, Policy.forever)
      const squares = Array.from({ length: 20 }, (_, i) => i * i)
      const beside = run(
        Effect.forEach(squares, (_, i) => Cached.get(cached, i), { concurrency: "unbounded" })
      )
      const long = at("long", ...tags(24_000))
      yield* run(beside)
      const [outcome, found] = yield* Effect.all([load(store, long), beside], { concurrency: "unbounded" })
      assert.strictEqual(outcome, "stored")
      assert.deepStrictEqual(found, squares)
      const entry = yield* store.read(long)
      assert.strictEqual(entry?.changed, undefined)
      assert.strictEqual(entry?.stamp.dependencies.length, 24_000)
      yield* run(Cached.apply(Invalidation.tags("tag 23999")))
      assert.strictEqual((yield* store.read(long))?.changed?.size, 1)
      yield* begin(store, long)
    }))
}
