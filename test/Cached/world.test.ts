/** What a load has of the caller who started it, and what is its own. */
import { assert, describe } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, References, Result, Schema, Scope, Tracer } from "effect"
import { TestClock } from "effect/testing"
import * as Cached from "../../src/Cached.ts"
import * as Changes from "../../src/Changes.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { ages, begin, ends, isRunning, onEach, onText, settle } from "../support/cached.ts"

/** An origin that is asked through connections, which scopes close. */
class Connections {
  opened = 0
  readonly closed: Array<"success" | "failure" | "interrupted"> = []
  ends: Effect.Effect<unknown> = Effect.void

  readonly connect = Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        this.opened++
        return { open: true }
      }),
      (connection, exit) =>
        Effect.sync(() => {
          connection.open = false
          this.closed.push(Exit.isSuccess(exit) ? "success" : Exit.hasInterrupts(exit) ? "interrupted" : "failure")
        })
    ),
    (connection) =>
      Effect.map(Effect.andThen(Effect.sleep(1000), Effect.suspend(() => this.ends)), () => {
        if (!connection.open) throw new Error("the connection is closed")
        return this.opened
      })
  )

  readonly load = Effect.flatten(this.connect)
}

const numbers = (
  { load }: Connections,
  options: Partial<Cached.Options<string, number, never, never>> = {},
  policy: Policy.Policy<string, number> = ages
) => Cached.make("number", { key: Key.string("of"), value: Schema.Finite, lookup: () => load, ...options }, policy)

describe("a load has a scope of its own", () => {
  onEach(
    "so what its lookup opens stays open when the request of its first caller ends, for those who have joined",
    Effect.gen(function*() {
      const connections = new Connections()
      const cached = numbers(connections)
      const request = yield* begin(Effect.scoped(Cached.get(cached, "a")))
      const other = yield* begin(Cached.get(cached, "a"))
      yield* Fiber.interrupt(request)
      assert.deepStrictEqual(connections.closed, [])
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* ends([other]), [Exit.succeed(1)])
      assert.deepStrictEqual([connections.opened, connections.closed], [1, ["success"]])
    })
  )

  onEach(
    "and for a refresh in the background, which outlives the request that is served meanwhile",
    Effect.gen(function*() {
      const connections = new Connections()
      const cached = numbers(connections)
      const first = yield* begin(Cached.get(cached, "a"))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(first)
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual(yield* Effect.scoped(Cached.get(cached, "a")), 1)
      yield* settle
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Cached.get(cached, "a"), 2)
      assert.deepStrictEqual(connections.closed, ["success", "success"])
    })
  )

  onEach(
    "which is closed when its lookup ends, before the scope of its caller does",
    Effect.gen(function*() {
      const connections = new Connections()
      const scope = yield* Scope.make()
      const reader = yield* begin(Scope.provide(Cached.get(numbers(connections), "a"), scope))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(reader)
      assert.deepStrictEqual(connections.closed, ["success"])
      yield* Scope.close(scope, Exit.void)
    })
  )

  onEach(
    "whether it fails, is interrupted, or takes too long",
    Effect.gen(function*() {
      const connections = new Connections()
      connections.ends = Effect.die("no")
      const failing = yield* begin(Effect.exit(Cached.get(numbers(connections), "a")))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(failing)
      assert.deepStrictEqual(connections.closed, ["failure"])
      const leaving = yield* begin(Cached.get(numbers(connections), "a"))
      yield* Fiber.interrupt(leaving)
      yield* settle
      assert.deepStrictEqual(connections.closed, ["failure", "interrupted"])
      const bounded = Cached.make("bounded", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => connections.load,
        hardTimeout: 500
      }, Policy.forever)
      const late = yield* begin(Effect.flip(Cached.get(bounded, "a")))
      yield* TestClock.adjust(500)
      assert.strictEqual((yield* Fiber.join(late))._tag, "LoadTimeout")
      assert.deepStrictEqual(connections.closed, ["failure", "interrupted", "interrupted"])
    })
  )

  onEach(
    "one for a batch",
    Effect.gen(function*() {
      const connections = new Connections()
      const cached = Cached.make("number", {
        key: Key.string("of"),
        value: Schema.Finite,
        lookup: () => connections.load,
        lookupMany: (all) => Effect.map(connections.load, (one) => all.map(() => Result.succeed(one)))
      }, Policy.forever)
      const reader = yield* begin(Cached.getMany(cached, ["a", "b"]))
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* ends([reader]), [Exit.succeed([1, 1])])
      assert.deepStrictEqual(connections.closed, ["success"])
    })
  )

  onText(
    "also where it is not shared, since the store is down",
    Effect.gen(function*() {
      const connections = new Connections()
      yield* TestCache.fail("read")
      const scope = yield* Scope.make()
      const reader = yield* begin(Scope.provide(Cached.get(numbers(connections), "a"), scope))
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(yield* ends([reader]), [Exit.succeed(1)])
      assert.deepStrictEqual(connections.closed, ["success"])
    })
  )

  onEach(
    "but a write-through is its caller's alone, and so is its scope",
    Effect.gen(function*() {
      const connections = new Connections()
      const scope = yield* Scope.make()
      const writer = yield* begin(Scope.provide(Cached.set(numbers(connections), "a", connections.load), scope))
      yield* TestClock.adjust(1000)
      yield* Fiber.join(writer)
      assert.deepStrictEqual(connections.closed, [])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(connections.closed, ["success"])
    })
  )
})

describe("inside of a transaction", () => {
  for (const [how, ending] of Object.entries({ interrupted: Effect.interrupt, "timed out": Effect.fail("late") })) {
    onEach(
      `a load has ended when its read is ${how}: its connection is rolled back after that`,
      Effect.gen(function*() {
        const happened: Array<string> = []
        const note = (what: string) => Effect.sync(() => happened.push(what))
        const transaction = Changes.withTransaction(<A, E, R>(effect: Effect.Effect<A, E, R>) =>
          Effect.onExit(effect, () => note("rolled back"))
        )
        const cached = Cached.make("number", {
          key: Key.string("of"),
          value: Schema.Finite,
          lookup: () => Effect.onExit(Effect.never, () => Effect.andThen(Effect.sleep(1000), note("query ended")))
        }, Policy.forever)
        const reader = yield* begin(
          transaction(Effect.raceFirst(Cached.get(cached, "a"), Effect.andThen(Effect.sleep(500), ending)))
        )
        yield* TestClock.adjust(500)
        assert.isTrue(isRunning(reader))
        yield* TestClock.adjust(1000)
        yield* ends([reader])
        assert.deepStrictEqual(happened, ["query ended", "rolled back"])
      })
    )
  }
})

describe("spans and what is logged", () => {
  const Colour = Context.Reference<string>("test/Colour", { defaultValue: () => "none" })

  const spanned = Effect.fnUntraced(function*() {
    const found: Array<Record<string, unknown>> = []
    const cached = Cached.make("number", {
      key: Key.string("of"),
      value: Schema.Finite,
      lookup: () =>
        Effect.gen(function*() {
          const parent = yield* Effect.serviceOption(Tracer.ParentSpan)
          found.push({
            parent: parent._tag === "Some" && parent.value._tag === "Span" ? parent.value.name : undefined,
            logged: yield* References.CurrentLogAnnotations,
            spans: (yield* References.CurrentLogSpans).map(([name]) => name),
            colour: yield* Colour
          })
          return found.length
        })
    }, ages)
    const as = (name: string) =>
      Cached.get(cached, "a").pipe(
        Effect.withSpan(name),
        Effect.withLogSpan(name),
        Effect.annotateLogs({ request: name }),
        Effect.provideService(Colour, name)
      )
    return { as, found }
  })

  onEach(
    "are those of the caller who waits for the load that it started",
    Effect.gen(function*() {
      const { as, found } = yield* spanned()
      yield* as("one")
      assert.deepStrictEqual(found, [{ parent: "one", logged: { request: "one" }, spans: ["one"], colour: "one" }])
    })
  )

  onEach(
    "a refresh in the background is no part of a request that has been answered, and says who caused it",
    Effect.gen(function*() {
      const { as, found } = yield* spanned()
      yield* as("one")
      yield* TestClock.adjust("15 seconds")
      yield* as("two")
      yield* settle
      assert.deepStrictEqual(found[1], { parent: undefined, logged: { request: "two" }, spans: [], colour: "two" })
    })
  )
})
