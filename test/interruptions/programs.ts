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
import { memory, type Provided, settle, text } from "../support/cached.ts"
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
  const write = Effect.sync(() => void version++)
  return {
    card,
    page,
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

const stores: Record<string, Layer.Layer<CacheService.CacheService>> = {
  memory: memory as Layer.Layer<Provided>,
  text,
  steps: Layer.fresh(serviceOn(makeMarkerStore({ split: true })))
}

type World = ReturnType<typeof world>

interface Shape {
  readonly name: string
  readonly prepare?: (world: World) => Doing
  readonly victims: (world: World) => ReadonlyArray<Doing>
  readonly others?: (world: World) => ReadonlyArray<Doing>
}

const both = ({ card }: World) => Cached.getMany(card, ["a", "b"])

const stale = (world: World): Doing => Effect.andThen(both(world), Effect.andThen(Cached.get(world.page, "a"), soften))

const publish = ({ write }: World) => Effect.andThen(write, Cached.apply(over))

const noTransaction = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => effect

const shapes: ReadonlyArray<Shape> = [
  {
    name: "a read that misses, and one that joins it",
    victims: (w) => [w.read(w.card, "a")],
    others: (w) => [w.read(w.card, "a")]
  },
  {
    name: "one who joins a load",
    victims: (w) => [Effect.andThen(Effect.yieldNow, w.read(w.card, "a"))],
    others: (w) => [w.read(w.card, "a")]
  },
  { name: "all who wait for a load", victims: (w) => [w.read(w.card, "a"), w.read(w.card, "a")] },
  {
    name: "a read that refreshes",
    prepare: stale,
    victims: (w) => [Cached.get(w.card, "a")],
    others: (w) => [Cached.get(w.card, "a")]
  },
  {
    name: "reads of many, some stale and some missing",
    prepare: (w) => Effect.andThen(Cached.get(w.card, "b"), soften),
    victims: (w) => [both(w)],
    others: (w) => [Cached.getMany(w.card, ["a", "b", "c"])]
  },
  {
    name: "a page of cards",
    victims: (w) => [w.read(w.page, "a")],
    others: (w) => [w.read(w.page, "b"), w.read(w.card, "a")]
  },
  {
    name: "a page of stale cards",
    prepare: stale,
    victims: (w) => [Cached.get(w.page, "a")],
    others: (w) => [Cached.get(w.card, "a")]
  },
  {
    name: "a write-through, and reads",
    prepare: both,
    victims: (w) => [Cached.set(w.card, "a", Effect.as(w.write, 0).pipe(Effect.map(() => w.version())))],
    others: (w) => [Cached.get(w.card, "a")]
  },
  {
    name: "a refresh that is asked for, and reads",
    prepare: stale,
    victims: (w) => [Cached.refresh(w.card, "a")],
    others: (w) => [Cached.get(w.card, "a")]
  },
  {
    name: "an invalidation, and reads",
    prepare: stale,
    victims: (w) => [publish(w)],
    others: (w) => [Cached.get(w.page, "a")]
  },
  {
    name: "a mutation, and reads",
    prepare: stale,
    victims: (w) => [Cached.mutate(w.write, over)],
    others: (w) => [Cached.get(w.page, "a")]
  },
  {
    name: "a transaction",
    prepare: stale,
    victims: (w) => [Changes.withTransaction(noTransaction)(Effect.andThen(w.read(w.page, "a"), publish(w)))],
    others: (w) => [Cached.get(w.page, "a")]
  }
]

export const programs: ReadonlyArray<Program> = shapes.flatMap(({ name, others, prepare, victims }) =>
  Object.entries(stores).map(([store, layer]): Program => {
    const w = world()
    return {
      name: `${name} [${store}]`,
      layer,
      prepare: Effect.andThen(w.reset, prepare?.(w) ?? Effect.void),
      victims: victims(w),
      others: others?.(w) ?? [],
      after: nothingLeft(w)
    }
  })
)
