/**
 * The ways in which a value is kept: policies, which the interpreter runs, and
 * what is no policy here, for comparison. The same run in virtual time and on a
 * real Redis.
 */
import { Clock, Context, Effect, Random, Schema, type Scope } from "effect"
import type { CacheStore } from "../../src/index.ts"
import { Cached, CacheService, Invalidation, Key, Policy } from "../../src/index.ts"
import type { DjangoCache } from "../../test/strategies/django/DjangoCache.ts"
import { getCachedWithEarlyRefresh } from "../../test/strategies/django/early-refresh.ts"
import type { Scenario } from "./scenario.ts"
import { unshared } from "./unshared.ts"

/** The origin could not be asked. */
export class OriginDown extends Schema.TaggedError<OriginDown>()("OriginDown", {}) {}

/** What a process has. */
export interface Place {
  /** Asks the origin; gives the number of the load, which is the value. */
  readonly load: (key: number) => Effect.Effect<number, OriginDown>
  /** The store of all processes, as this one reaches it. */
  readonly store: CacheStore.CacheStore
  /** A cache of all processes that can get, set and delete, and promises nothing. */
  readonly plain: DjangoCache
}

/** The process in which something runs. */
export const Here: Context.Reference<Place> = Context.Reference("effect-cache-algebra/bench/Place", {
  defaultValue: (): Place => {
    throw new Error("nobody said in which process this runs")
  }
})

/** How it is asked. What it needs are the services of its process. */
export interface Reader {
  readonly get: (key: number) => Effect.Effect<number, unknown, CacheService.CacheService>
  /** Says that the truth about a key has changed. */
  readonly invalidate: (key: number) => Effect.Effect<unknown, unknown, CacheService.CacheService>
}

/** A reader, and how a process makes what it needs. */
export interface Made {
  readonly reader: Reader
  readonly services: (place: Place) => Effect.Effect<Context.Context<CacheService.CacheService>, never, Scope.Scope>
}

export interface Strategy {
  readonly id: string
  readonly title: string
  readonly about: string
  /** Whether it keeps anything. */
  readonly keeps: boolean
  /** What the interpreter runs; undefined for what is no policy here. */
  readonly policy: ((scenario: Scenario, beta: number) => Policy.Policy<number, number>) | undefined
  /** `beta` is that of XFetch. */
  readonly make: (scenario: Scenario, beta: number) => Made
}

// -----------------------------------------------------------------------------
// what is no policy
// -----------------------------------------------------------------------------

const lookup = (key: number): Effect.Effect<number, OriginDown> => Effect.flatMap(Here, ({ load }) => load(key))

const plainly = (
  get: (plain: DjangoCache, key: string, load: Effect.Effect<number, OriginDown>) => Effect.Effect<number, unknown>
): Made => ({
  reader: {
    get: (key) => Effect.flatMap(Here, ({ load, plain }) => get(plain, `page-${key}`, load(key))),
    invalidate: (key) => Effect.flatMap(Here, ({ plain }) => plain.delete(`page-${key}`))
  },
  services: () =>
    Effect.succeed(Context.empty() as Context.Context<never> as Context.Context<CacheService.CacheService>)
})

const none = (
  id: string,
  title: string,
  about: string,
  make: (scenario: Scenario, beta: number) => Made
): Strategy => ({ id, title, about, keeps: id !== "uncached", policy: undefined, make })

/** Gets, or else loads and sets, for so many seconds. */
const getOrSet = (seconds: Effect.Effect<number>) =>
  plainly(Effect.fnUntraced(function*(plain, key, load) {
    const there = yield* plain.get<number>(key)
    if (there !== undefined) return there
    const value = yield* load
    yield* plain.set(key, value, yield* seconds)
    return value
  }))

interface Kept {
  readonly value: number
  readonly delta: number
  readonly expiry: number
}

/** As in the paper, figure 3: each request for itself. */
const asPublished = (lifetime: number, beta: number) =>
  plainly(Effect.fnUntraced(function*(plain, key, load) {
    const kept = yield* plain.get<Kept>(key)
    const start = yield* Clock.currentTimeMillis
    if (kept !== undefined) {
      const early = kept.delta * beta * -Math.log(1 - (yield* Random.next))
      if (start + early < kept.expiry) return kept.value
    }
    const value = yield* load
    const end = yield* Clock.currentTimeMillis
    const next: Kept = { value, delta: end - start, expiry: end + lifetime }
    yield* plain.set(key, next, lifetime / 1000)
    return value
  }))

// -----------------------------------------------------------------------------
// policies
// -----------------------------------------------------------------------------

interface Ways {
  /** Each process keeps its leases for itself. */
  readonly alone?: boolean
  readonly refresh?: Cached.Refresh
  readonly soft?: boolean
}

const asPolicy = (
  id: string,
  title: string,
  about: string,
  policy: NonNullable<Strategy["policy"]>,
  { alone = false, refresh = "background", soft = false }: Ways = {}
): Strategy => ({
  id,
  title,
  about,
  keeps: true,
  policy,
  make: (scenario, beta) => {
    const page = Cached.make(
      "page",
      { key: Key.int("id"), value: Schema.Int, lookup, refresh },
      policy(scenario, beta)
    )
    return {
      reader: {
        get: (key) => Cached.get(page, key),
        invalidate: (key) => {
          const all = Cached.invalidation(page, [key])
          return Cached.apply(soft ? Invalidation.soft(all) : all)
        }
      },
      services: ({ store }) =>
        Effect.map(
          CacheService.make(alone ? unshared(store) : store),
          (service) => Context.make(CacheService.CacheService, service)
        )
    }
  }
})

const ttl = ({ lifetime }: Scenario) => Policy.ttl<number, number>(lifetime)

const stale = ({ lifetime }: Scenario) => Policy.ttl<number, number>(lifetime, { staleFor: lifetime / 2 })

const early = (scenario: Scenario, beta: number) => Policy.all(ttl(scenario), Policy.xfetch({ beta }))

/** What is advised for a hot key whose old value will do for a while. */
const advised = ({ lifetime }: Scenario, beta: number) =>
  Policy.all(
    Policy.ttl<number, number>(lifetime, { staleFor: lifetime / 2, onErrorFor: lifetime }),
    Policy.xfetch({ beta })
  )

export const strategies: ReadonlyArray<Strategy> = [
  none("uncached", "no cache", "Every request asks the origin.", () => plainly((_plain, _key, load) => load)),
  none(
    "plain",
    "TTL, no protection",
    "Get, or else load and set. Whoever finds nothing loads.",
    ({ lifetime }) => getOrSet(Effect.succeed(lifetime / 1000))
  ),
  none(
    "jitter",
    "TTL with jitter alone",
    "The same, with lifetimes that are shorter by up to a tenth. For many keys that end at once, and this is one.",
    ({ lifetime }) => getOrSet(Effect.map(Random.next, (u) => lifetime / 1000 * (1 - u / 10)))
  ),
  none(
    "django",
    "the Django page's \"XFetch\"",
    "Refreshes at random, by the time that is left, and never looks at how long a load takes.",
    ({ lifetime }) => plainly((plain, key, load) => getCachedWithEarlyRefresh(plain, key, load, lifetime / 1000))
  ),
  none(
    "xfetch-published",
    "XFetch as published",
    "Each request draws for itself, and who is drawn loads and waits.",
    ({ lifetime }, beta) => asPublished(lifetime, beta)
  ),
  asPolicy(
    "single-flight",
    "TTL, single flight per process",
    "One load at a time in a process; no process knows of another.",
    ttl,
    { alone: true }
  ),
  asPolicy(
    "xfetch-alone",
    "XFetch per process",
    "Each process draws and loads for itself, one load at a time; who is drawn waits.",
    early,
    { alone: true, refresh: "caller" }
  ),
  asPolicy("lease", "TTL with a lease", "One load at a time in all processes; the others wait for it.", ttl),
  asPolicy(
    "swr-alone",
    "stale-while-revalidate per process",
    "Served stale for half a lifetime more, while each process refreshes for itself.",
    stale,
    { alone: true }
  ),
  asPolicy(
    "swr",
    "stale-while-revalidate with a lease",
    "Served stale for half a lifetime more, while one of all processes refreshes.",
    stale
  ),
  asPolicy(
    "refresh-80",
    "refresh at 80 % with a lease",
    "From four fifths of the lifetime on, the next request refreshes in the background.",
    ({ lifetime }) => Policy.ttl(0.8 * lifetime, { stale: lifetime })
  ),
  asPolicy(
    "xfetch",
    "XFetch with a lease",
    "Early, at random, in the background, by one of all processes.",
    early
  ),
  asPolicy(
    "advised",
    "XFetch, then stale, with a lease",
    "Early at random; where nobody was drawn, served stale while one refreshes; where loads fail, served on error.",
    advised
  ),
  asPolicy(
    "soft",
    "the same, invalidated softly",
    "An invalidation leaves the old value to be served stale, while one refreshes.",
    advised,
    { soft: true }
  )
]

export const strategyOf = (id: string): Strategy => {
  const found = strategies.find((one) => one.id === id)
  if (found === undefined) {
    throw new Error(`there is no strategy "${id}", but ${strategies.map(({ id }) => id).join(", ")}`)
  }
  return found
}

/**
 * Those that tell something in a scenario. Where nothing is invalidated, nothing is invalidated softly; and an origin
 * that cannot serve all requests answers nobody any more if nothing is kept.
 */
export const strategiesFor = ({ changes, origin }: Scenario): ReadonlyArray<Strategy> =>
  strategies.filter(({ id, keeps }) => (id !== "soft" || changes.invalidates) && (keeps || origin._tag !== "Limited"))
