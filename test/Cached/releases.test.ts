/** Two releases of one definition side by side: `version` keeps their entries apart. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import { InvalidInput } from "../../src/InvalidInput.ts"
import * as Key from "../../src/Key.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { onEach, onText } from "../support/cached.ts"
import { areApart, type Deploy, type Release, Shelf, type Version, voidsLoads } from "../support/releases.ts"

const running = (service: CacheService.CacheService): Release["run"] => (effect) =>
  Effect.provideService(effect, CacheService.CacheService, service)

/** Two releases in one process. */
const deployed = (one: Version, other: Version) =>
  Effect.map(CacheService.CacheService, (service): Deploy => {
    const shelf = new Shelf()
    const run = running(service)
    return { shelf, before: { film: shelf.before(one), run }, after: { film: shelf.after(other), run } }
  })

/** Two releases without versions, in two processes on one store. */
const unversioned = Effect.gen(function*() {
  const { after, before, shelf } = yield* deployed(undefined, undefined)
  const { store } = yield* CacheService.CacheService
  const other = yield* CacheService.make(store)
  return { before, after: { ...after, run: running(other) }, shelf }
})

const warnings = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const told: Array<string> = []
  const logger = Logger.make(({ message }) => void told.push(String(message)))
  return Effect.as(Effect.provide(effect, Logger.layer([logger])), told)
}

describe("two releases", () => {
  for (const [one, other] of [[1, 2], [undefined, 2], ["a", undefined]] as const) {
    onEach(
      `with ${one ?? "no version"} and ${other ?? "no version"} are each served their own entry, which either ends`,
      Effect.flatMap(deployed(one, other), (deploy) => areApart(deploy, true))
    )

    onEach(
      `with ${one ?? "no version"} and ${other ?? "no version"} keep no load that the other has voided`,
      Effect.flatMap(deployed(one, other), voidsLoads)
    )
  }

  onText(
    "without versions drop each other's entries in turn, and are told once what to do",
    Effect.gen(function*() {
      const { after, before, shelf } = yield* unversioned
      const told = yield* warnings(Effect.repeat(
        Effect.andThen(before.run(Cached.get(before.film, 7)), after.run(Cached.get(after.film, 7))),
        { times: 2 }
      ))
      assert.deepStrictEqual(shelf.loads, { before: 3, after: 3 })
      const message =
        "an entry of \"film\" was written under another schema, and is dropped. Where two releases run side by side, " +
        "each drops the entries of the other: give the definition a `version`"
      assert.deepStrictEqual(told, [message, message], "by each process")
    })
  )

  onText(
    "an entry of another schema that is over anyway is not worth a word",
    Effect.gen(function*() {
      const { after, before } = yield* unversioned
      yield* before.run(Cached.get(before.film, 7))
      yield* TestCache.disturb(
        "read",
        (_, perform) => Effect.map(perform, (entry) => Object.assign({}, entry, { softened: true })),
        1
      )
      assert.deepStrictEqual(yield* warnings(after.run(Cached.get(after.film, 7))), [])
    })
  )

  onEach(
    "show each its own entry",
    Effect.gen(function*() {
      const { after, before } = yield* deployed(1, 2)
      yield* Cached.get(after.film, 7)
      assert.isTrue(Option.isNone(yield* Cached.getOption(before.film, 7)))
      assert.isTrue(Option.isNone(yield* Cached.peekEntry(before.film, 7)))
      assert.isFalse((yield* Cached.explain(before.film, 7)).stored)
      const { dependencies, value } = Option.getOrThrow(yield* Cached.peekEntry(after.film, 7))
      assert.deepStrictEqual<unknown>(value, { title: "Alien", year: 1979 })
      assert.deepStrictEqual<ReadonlyArray<string>>(dependencies, ["tag/films", "tag/film%3A7"])
      assert.isTrue((yield* Cached.explain(after.film, 7)).stored)
      yield* Cached.invalidate(before.film, 7, { soft: true })
      const softened = Option.getOrThrow(yield* Cached.peekEntry(after.film, 7))
      assert.strictEqual(softened.verdict, "Stale")
      yield* Cached.refresh(after.film, 7)
      assert.strictEqual(Option.getOrThrow(yield* Cached.peekEntry(after.film, 7)).verdict, "Fresh")
    })
  )

  onEach(
    "may be made of each other: one reads the other under the same key",
    Effect.gen(function*() {
      const { before, shelf } = yield* deployed(1, 2)
      const made = Cached.make("film", {
        key: Key.int("id"),
        value: Schema.String,
        version: 2,
        lookup: (id) => Effect.map(Cached.get(before.film, id), ({ title }) => title)
      }, Policy.forever)
      assert.strictEqual(yield* Cached.get(made, 7), "Alien")
      assert.strictEqual(yield* Cached.refresh(made, 7), "Alien")
      assert.deepStrictEqual(shelf.loads, { before: 1, after: 0 })
      shelf.title = "Aliens"
      yield* Cached.invalidate(before.film, 7)
      assert.strictEqual(yield* Cached.get(made, 7), "Aliens")
    })
  )

  onEach(
    "count what an invalidation ended",
    Effect.gen(function*() {
      const { after, before } = yield* deployed(1, 2)
      yield* Cached.get(before.film, 7)
      yield* Cached.get(after.film, 7)
      assert.deepInclude(yield* Cached.invalidate(before.film, 7), { entries: 2 })
    })
  )
})

describe("a version", () => {
  const versioned = (version: Version) => new Shelf().before(version)

  it("is an integer or a short text, and nothing else", () => {
    for (const version of [1, 0, -3, "1", "2024-11", "a b", "é", "x".repeat(64)]) versioned(version)
    for (const version of ["", "x".repeat(65), 1.5, Number.NaN, Infinity, 2 ** 60, null, {}]) {
      assert.throws(() => versioned(version as never), InvalidInput)
    }
  })

  it("is shown, and is no part of the key", () => {
    const film = versioned(2)
    assert.strictEqual(Cached.keyOf(film, 7), Cached.keyOf(versioned(undefined), 7))
    assert.strictEqual(Cached.pattern(film).toString(), "keys film:*")
    assert.match(film.toString(), /^film\(id\) version 2: /)
    assert.strictEqual(Cached.describe(film).version, "2")
    assert.match(Cached.describe(film).toString(), /^film\(id\) version 2\n/)
  })

  it.effect("that is written as a number or as a text is the same", () =>
    Effect.gen(function*() {
      const shelf = new Shelf()
      yield* Cached.get(shelf.before(2), 7)
      yield* Cached.get(shelf.before("2"), 7)
      assert.strictEqual(shelf.loads.before, 1)
    }).pipe(Effect.provide(Layer.fresh(TestCache.layer()))))
})
