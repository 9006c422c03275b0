/** Programs whose callers are interrupted, and what must be true of each afterwards. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Cached from "../../src/Cached.ts"
import * as CacheService from "../../src/CacheService.ts"
import * as Changes from "../../src/Changes.ts"
import { inside } from "../../src/internal/service/model.ts"
import * as Invalidation from "../../src/Invalidation.ts"
import * as Key from "../../src/Key.ts"
import type * as MemoryCache from "../../src/MemoryCache.ts"
import * as Policy from "../../src/Policy.ts"
import * as TestCache from "../../src/TestCache.ts"
import { memory, settle, text } from "../support/cached.ts"
import { makeMarkerStore } from "../support/markerStore.ts"
import { serviceOn } from "../support/port.ts"

type Doing = Effect.Effect<unknown, unknown, CacheService.CacheService>

/**
 * - `prepare`: what comes before.
 * - `victims`: who is interrupted, all at once.
 * - `others`: who runs beside them, and must succeed.
 * - `after`: fails if anything is left.
 */
export interface Program {
  readonly name: string
  readonly layer: Layer.Layer<CacheService.CacheService>
  readonly prepare: Doing
  readonly victims: ReadonlyArray<Doing>
  readonly others: ReadonlyArray<Doing>
  readonly after: Effect.Effect<void, unknown, CacheService.CacheService>
}

/** A world of its own for each program: what it reads, and how often it was loaded. */
const world = () => {
  let version = 0
  let loads = 0
  const load = Effect.suspend(() => {
    loads++
    const now = version
    return Effect.as(Effect.andThen(Effect.yieldNow, Effect.yieldNow), now)
  })
  const card: Cached.Cached<string, number> = Cached.make("card", {
    key: Key.string("id"),
    value: Schema.Finite,
    lookup: () => load,
    lookupMany: (ids) => Effect.map(load, (now) => ids.map(() => Result.succeed(now)))
  }, Policy.tagged("t"))
  const page = Cached.make("page", {
    key: Key.string("id"),
    value: Schema.Finite,
    lookup: (id) => Effect.map(Cached.getMany(card, [id, "b"]), ([one]) => one!)
  }, Policy.tagged("t"))
  /** Each key needs the one that is shorter. */
  const steps: Cached.Cached<string, number, never, CacheService.CacheService> = Cached.make("steps", {
    key: Key.string("id"),
    value: Schema.Finite,
    lookup: (id) => id === "a" ? load : Cached.get(steps, id.slice(1)),
    lookupMany: (ids) =>
      Effect.forEach(ids, (id) => Effect.map(id === "a" ? load : Cached.get(steps, id.slice(1)), Result.succeed))
  }, Policy.tagged("t"))
  const write = Effect.sync(() => void version++)
  return {
    card,
    page,
    steps,
    write,
    /** A read must not be older than what was written when it began. */
    read: (definition: typeof card | typeof page, id: string) =>
      Effect.suspend(() => {
        const least = version
        return Effect.map(Cached.get(definition, id), (seen) => {
          if (seen < least) throw new Error(`${definition.name} ${id} was ${seen}, and ${least} is written`)
          return seen
        })
      }),
    version: () => version,
    reset: Effect.sync(() => {
      version = 0
      loads = 0
    }),
    loads: () => loads
  }
}

const over = Invalidation.tags(["t", "u"])

/** Does something with a store that has instruments. */
const withInstruments = (use: Effect.Effect<void, never, TestCache.TestCache>): Doing =>
  Effect.flatMap(
    Effect.serviceOption(TestCache.TestCache),
    (found) => found._tag === "Some" ? Effect.provideService(use, TestCache.TestCache, found.value) : Effect.void
  )

const soften = Cached.apply(Invalidation.soft(over))

/** Nothing of a load, a refresh or an invalidation is left, and the keys work as they did. */
const nothingLeft = (
  { card, loads, page, version, write }: ReturnType<typeof world>
): Effect.Effect<void, unknown, CacheService.CacheService> =>
  Effect.gen(function*() {
    const check = (what: string, ok: boolean) => {
      if (!ok) throw new Error(what)
    }
    const service = inside(yield* CacheService.CacheService)
    // An invalidation that was interrupted is tried again, with pauses. No fence and no lease ends so soon.
    yield* Effect.andThen(settle, Effect.andThen(Effect.sleep("5 seconds"), settle))
    check(`${service.loads.size} loads are left`, service.loads.size === 0)
    check(`still marked as refreshing: ${[...service.refreshing].join()}`, service.refreshing.size === 0)
    check("an invalidation is left", (yield* service.undelivered).length === 0)
    const { sizes } = service.store as Partial<MemoryCache.MemoryStore>
    if (sizes !== undefined) {
      const { fences, leases } = sizes()
      check(`${leases} leases and ${fences} fences are left`, leases === 0 && fences === 0)
    }
    // Whatever was done, the next reads are right.
    yield* withInstruments(TestCache.restore)
    yield* Cached.apply(over)
    for (const id of ["a", "b"]) {
      check("a read is old", (yield* Cached.get(card, id)) === version())
      check("a page is old", (yield* Cached.get(page, id)) === version())
    }
    // What is stale is refreshed in the background, by one load each, and what was loaded is kept.
    yield* write
    yield* soften
    const before = loads()
    for (let round = 0; round < 3; round++) {
      for (const id of ["a", "b"]) yield* Cached.get(card, id)
      yield* settle
    }
    check(`${loads() - before} loads for two keys that were softened`, loads() - before === 2)
    for (const id of ["a", "b"]) check("a refreshed read is old", (yield* Cached.get(card, id)) === version())
  })

type World = ReturnType<typeof world>

const stores: Readonly<Record<string, Layer.Layer<CacheService.CacheService>>> = {
  memory,
  text,
  steps: Layer.fresh(serviceOn(makeMarkerStore({ split: true })))
}

interface Shape {
  readonly name: string
  readonly prepare?: (world: World) => Doing
  readonly victims: (world: World) => ReadonlyArray<Doing>
  readonly others?: (world: World) => ReadonlyArray<Doing>
}

const both = ({ card }: World): Doing => Cached.getMany(card, ["a", "b"])

/** All is stored, and stale. */
const stale = (world: World): Doing => Effect.andThen(both(world), Effect.andThen(Cached.get(world.page, "a"), soften))

const publish = ({ write }: World): Doing => Effect.andThen(write, Cached.apply(over))

/** A transaction of no database. */
const transaction = Changes.withTransaction(<A, E, R>(effect: Effect.Effect<A, E, R>) => effect)

const shapes: ReadonlyArray<Shape> = [
  {
    name: "a read that refreshes in the background",
    prepare: stale,
    victims: ({ card }) => [Cached.get(card, "a")],
    others: ({ card }) => [Cached.get(card, "a")]
  },
  {
    name: "who begins a load that another joins",
    victims: ({ card, read }) => [read(card, "a")],
    others: ({ card, read }) => [read(card, "a")]
  },
  {
    name: "who joins a load",
    victims: ({ card, read }) => [Effect.andThen(Effect.yieldNow, read(card, "a"))],
    others: ({ card, read }) => [read(card, "a")]
  },
  {
    name: "all who wait for a load",
    victims: ({ card, read }) => [read(card, "a"), read(card, "a")]
  },
  {
    name: "a read of many, some stale and some missing",
    prepare: ({ card }) => Effect.andThen(Cached.get(card, "b"), soften),
    victims: (world) => [both(world)],
    others: ({ card }) => [Cached.getMany(card, ["a", "b", "c"])]
  },
  {
    name: "a page made of cards that others read",
    victims: ({ page, read }) => [read(page, "a")],
    others: ({ card, page, read }) => [read(page, "b"), read(card, "a")]
  },
  {
    name: "a page that refreshes stale cards",
    prepare: stale,
    victims: ({ page }) => [Cached.get(page, "a")],
    others: ({ card }) => [Cached.get(card, "a")]
  },
  {
    name: "a batch whose keys need each other",
    victims: ({ steps }) => [Cached.getMany(steps, ["a", "aa", "aaa"])],
    others: ({ steps }) => [Cached.getMany(steps, ["aa", "aaa"])]
  },
  {
    name: "a write-through that others read",
    prepare: both,
    victims: ({ card, version, write }) => [Cached.set(card, "a", Effect.map(write, version))],
    others: ({ card }) => [Cached.get(card, "a")]
  },
  {
    name: "a refresh that is asked for",
    prepare: stale,
    victims: ({ card }) => [Cached.refresh(card, "a")],
    others: ({ card }) => [Cached.get(card, "a")]
  },
  {
    name: "an invalidation",
    prepare: stale,
    victims: (world) => [publish(world)],
    others: ({ page }) => [Cached.get(page, "a")]
  },
  {
    name: "a mutation",
    prepare: stale,
    victims: ({ write }) => [Cached.mutate(write, over)],
    others: ({ page }) => [Cached.get(page, "a")]
  },
  {
    name: "a transaction",
    prepare: stale,
    victims: (world) => [transaction(Effect.andThen(world.read(world.page, "a"), publish(world)))],
    others: ({ page }) => [Cached.get(page, "a")]
  }
]

const programOf = (
  { name, others = () => [], prepare = () => Effect.void, victims }: Shape,
  store: string,
  layer: Program["layer"]
): Program => {
  const one = world()
  return {
    name: `${name} [${store}]`,
    layer,
    prepare: Effect.andThen(one.reset, prepare(one)),
    victims: victims(one),
    others: others(one),
    after: nothingLeft(one)
  }
}

export const programs: ReadonlyArray<Program> = [
  ...shapes.flatMap((shape) => Object.entries(stores).map(([store, layer]) => programOf(shape, store, layer))),
  // What the store does not acknowledge is delivered later.
  programOf(
    {
      name: "an invalidation that the store refuses",
      prepare: (world) => Effect.andThen(stale(world), withInstruments(TestCache.fail("invalidate", 1))),
      victims: (world) => [publish(world)],
      others: ({ page }) => [Cached.get(page, "a")]
    },
    "text",
    text
  )
]

/** A mistake that must be found: what is marked is not sure to be unmarked. */
export const mistaken: Program = (() => {
  const marked = new Set<string>()
  const unmark = Effect.andThen(Effect.yieldNow, Effect.sync(() => marked.delete("a")))
  return {
    name: "a mark that is made before it is sure to be taken away",
    layer: memory,
    prepare: Effect.sync(() => marked.clear()),
    victims: [Effect.suspend(() => {
      marked.add("a")
      return Effect.forkDetach(unmark)
    })],
    others: [],
    after: Effect.andThen(
      settle,
      Effect.sync(() => {
        if (marked.size > 0) throw new Error("it is still marked")
      })
    )
  }
})()
