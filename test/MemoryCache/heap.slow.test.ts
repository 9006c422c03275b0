/**
 * Memory is bounded by the entries that live, not by the tags ever seen. The
 * port is spoken to directly, so that millions fit in a test.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type * as CacheStore from "../../src/CacheStore.ts"
import * as Dependency from "../../src/Dependency.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as MemoryCache from "../../src/MemoryCache.ts"
import { at, begin, draft } from "../support/port.ts"

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

/** Megabytes in use, when all that can be collected is. */
const heap = (): number => {
  collect()
  collect()
  return process.memoryUsage().heapUsed / 1e6
}

const run = <A>(effect: Effect.Effect<A, unknown>): A => {
  const exit = Effect.runSyncExit(effect)
  if (Exit.isFailure(exit)) throw new Error("the store failed", { cause: exit.cause })
  return exit.value
}

let loads = 0

/** One load, with as little around it as can be. */
const load = (store: MemoryCache.MemoryStore, key: string, found: ReadonlyArray<Dependency.Dependency>): void => {
  const address: CacheStore.Address = { key, known: [] }
  const token = `load ${++loads}`
  run(store.begin(address, { token, seen: undefined, drop: false, force: true, leaseFor: 60_000 }))
  const { stamp, ...rest } = draft(address)
  run(store.commit(address, { token }, { ...rest, found, stamp: { ...stamp, dependencies: found } }))
}

const tag = (text: string): Dependency.Dependency => Dependency.tag(text)

describe("memory stays bounded", () => {
  it.effect("while two million tags pass through a cache of a thousand entries", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1000 })
      const pass = (from: number, to: number) => {
        for (let i = from; i < to; i++) {
          load(store, `k:${i}`, Array.from({ length: 16 }, (_, j) => tag(`${i}-${j}`)))
          if (i % 10 === 0) run(store.invalidate(Invalidation.dependencies([tag(`${i - 5}-0`), tag(`other ${i}`)])))
        }
      }
      pass(0, 10_000)
      const before = heap()
      pass(10_000, 135_000)
      const grown = heap() - before
      assert.isBelow(grown, 5, `it grew by ${grown} MB`)
      const sizes = store.sizes()
      assert.strictEqual(sizes.entries, 1000)
      assert.strictEqual(sizes.dependencies, 16_000)
      assert.strictEqual(sizes.leases + sizes.journal + sizes.fences, 0)
    }))

  it.effect("while a quarter of a million dependencies are invalidated during one load", () =>
    Effect.gen(function*() {
      const journalLimit = 10_000
      const store = yield* MemoryCache.makeStore({ capacity: 1000, journalLimit })
      const lease = yield* begin(store, at("slow"))
      const invalidate = (from: number, to: number) => {
        for (let i = from; i < to; i++) {
          run(store.invalidate(Invalidation.dependencies(tag(`t${i}`))))
          // Others load and end meanwhile; the slow one is the oldest throughout.
          if (i % 100 === 0) load(store, `k:${i}`, [tag(`t${i}`)])
        }
      }
      invalidate(0, 20_000)
      const before = heap()
      invalidate(20_000, 270_000)
      const grown = heap() - before
      assert.isBelow(grown, 5, `it grew by ${grown} MB`)
      assert.isAtMost(store.sizes().journal, journalLimit)
      const outcome = yield* store.commit(at("slow"), lease, draft(at("slow"), { found: ["unlike"] }))
      assert.strictEqual(outcome, "invalidated")
      assert.strictEqual(store.sizes().journal, 0)
    }))

  it.effect("while one key is loaded, read, invalidated, fenced and swept fifty thousand times", () =>
    Effect.gen(function*() {
      const store = yield* MemoryCache.makeStore({ capacity: 1000 })
      const all = Invalidation.pattern({ name: "k", parts: [undefined] })
      const turn = (i: number) => {
        load(store, "k:1", [tag("a"), tag(`b${i}`)])
        run(store.read(at("k:1")))
        const fence = { id: `fence ${i}`, over: Invalidation.tags("a"), length: 1000 }
        run(store.fence(fence))
        load(store, "k:1", [tag("a")])
        if (i % 3 > 0) run(store.lift(fence))
        run(store.invalidate(i % 2 === 0 ? Invalidation.soft(all) : all))
        if (i % 5 === 0) run(store.fence({ ...fence, id: `short ${i}`, length: 0 }))
        if (i % 3 === 0) run(store.lift(fence))
      }
      for (let i = 0; i < 5000; i++) turn(i)
      const before = heap()
      for (let i = 5000; i < 55_000; i++) turn(i)
      const grown = heap() - before
      assert.isBelow(grown, 5, `it grew by ${grown} MB`)
      const { fences, leases } = store.sizes()
      assert.strictEqual(leases, 0)
      assert.isAtMost(fences, 1)
    }))
})
