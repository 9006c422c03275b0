import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import { assertQuiet, Down, Film, numbers, onEach, Origin, settle } from "../support/cached.ts"

describe("tags", () => {
  const films = (rows: Map<number, typeof Film.Type>, policy: Policy.Policy<number, typeof Film.Type>) => {
    const state = { loads: 0 }
    const cached = Cached.make("film", {
      key: Key.int("id"),
      value: Film,
      lookup: (id) => Effect.sync(() => (state.loads++, rows.get(id)!))
    }, policy)
    return { cached, state }
  }
  const rows = new Map([
    [1, { id: 1, title: "Alien", genre: "horror", rating: 8 }],
    [2, { id: 2, title: "Heat", genre: "drama", rating: 8 }]
  ])

  const each: Record<string, Policy.Policy<number, typeof Film.Type>> = {
    "a constant": Policy.tagged("films"),
    "the key": Policy.tagged((id: number) => [`film:${id}`]),
    "key and value": Policy.tagged({ fromValue: (film: typeof Film.Type) => [`genre:${film.genre}`] })
  }
  const hits: Record<string, readonly [tag: string, loads: number]> = {
    "a constant": ["films", 4],
    "the key": ["film:1", 3],
    "key and value": ["genre:horror", 3]
  }
  for (const [from, policy] of Object.entries(each)) {
    onEach(
      `a tag from ${from} ends exactly what has it`,
      Effect.gen(function*() {
        const { cached, state } = films(rows, policy)
        const both = Effect.forEach([1, 2], (id) => Cached.get(cached, id))
        yield* both
        yield* Cached.apply(Invalidation.tags("unrelated"))
        yield* both
        assert.strictEqual(state.loads, 2)
        const [tag, loads] = hits[from]!
        assert.strictEqual((yield* Cached.apply(Invalidation.tags(tag))).entries, loads - 2)
        yield* both
        yield* both
        assert.strictEqual(state.loads, loads)
      })
    )
  }

  onEach(
    "a tag that the value had, and has no more, matters no more",
    Effect.gen(function*() {
      const moving = new Map(rows)
      const { cached, state } = films(moving, each["key and value"]!)
      yield* Cached.get(cached, 1)
      moving.set(1, { ...moving.get(1)!, genre: "drama" })
      yield* Cached.apply(Invalidation.tags("genre:horror"))
      yield* Cached.get(cached, 1)
      assert.strictEqual(state.loads, 2)
      yield* Cached.apply(Invalidation.tags("genre:horror"))
      yield* Cached.get(cached, 1)
      assert.strictEqual(state.loads, 2)
      yield* Cached.apply(Invalidation.tags("genre:drama"))
      yield* Cached.get(cached, 1)
      assert.strictEqual(state.loads, 3)
    })
  )

  onEach(
    "severity Stale: an invalidated entry is served once more and refreshed",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("a", { severity: "Stale" }))
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* Cached.apply(Invalidation.tags("a"))
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      yield* settle
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 2)
    })
  )

  onEach(
    "severity OnError: an invalidated entry is served only if the load fails",
    Effect.gen(function*() {
      const origin = new Origin<number, Down>(0)
      const cached = Cached.make("number", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => origin.load
      }, Policy.tagged("a", { severity: "OnError" }))
      yield* Cached.get(cached, "a")
      yield* Cached.apply(Invalidation.tags("a"))
      origin.value = 1
      origin.ends = Effect.fail(new Down())
      assert.strictEqual(yield* Cached.get(cached, "a"), 0)
      origin.ends = Effect.void
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
      assert.strictEqual(origin.loads, 3)
    })
  )

  onEach(
    "the worst of two severities counts",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.and(Policy.tagged("a", { severity: "Stale" }), Policy.tagged("b")))
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* Cached.apply(Invalidation.tags(["a", "b"]))
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  for (
    const [what, batch] of Object.entries({ "a key": Invalidation.keys("number:a"), "a tag": Invalidation.tags("t") })
  ) {
    onEach(
      `a soft invalidation of ${what} serves the old value once, and refreshes it`,
      Effect.gen(function*() {
        const origin = new Origin(0)
        const cached = numbers(origin, Policy.tagged("t"))
        yield* Cached.get(cached, "a")
        origin.value = 1
        yield* Cached.apply(Invalidation.soft(batch))
        assert.strictEqual(yield* Cached.get(cached, "a"), 0)
        yield* settle
        assert.strictEqual(yield* Cached.get(cached, "a"), 1)
        assert.strictEqual(origin.loads, 2)
        yield* assertQuiet
      })
    )
  }

  onEach(
    "a hard invalidation after a soft one counts",
    Effect.gen(function*() {
      const origin = new Origin(0)
      const cached = numbers(origin, Policy.tagged("t"))
      yield* Cached.get(cached, "a")
      origin.value = 1
      yield* Cached.apply(Invalidation.soft(Invalidation.tags("t")))
      yield* Cached.apply(Invalidation.tags("t"))
      assert.strictEqual(yield* Cached.get(cached, "a"), 1)
    })
  )

  onEach(
    "a tag that a policy gained since is a mismatch for entries from before",
    Effect.gen(function*() {
      const origin = new Origin(0)
      yield* Cached.get(numbers(origin, Policy.ttl("1 hour")), "a")
      origin.value = 1
      assert.strictEqual(
        yield* Cached.get(numbers(origin, Policy.and(Policy.ttl("1 hour"), Policy.tagged("new"))), "a"),
        1
      )
    })
  )
})
