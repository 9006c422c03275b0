/**
 * The claims that are shown in memory.
 */
import { askedAfterAFailure, emptyValue, expired, failedLoad, shortlyBeforeTheEnd, softened, tenAtOnce } from "./age.ts"
import { type Cache, type Library, minute, open, type Settings } from "./caches.ts"
import { type Claim, each, type Program, type Seen } from "./claim.ts"
import {
  askedAfterAnInvalidation,
  diedAfterTheCommit,
  endedByATag,
  invalidatedDuringALoad,
  type Pair,
  setDuringALoad,
  tagInvalidatedDuringALoad
} from "./invalidation.ts"
import { later, onAStillClock } from "./schedule.ts"
import { clock, refusedInvalidation, twoKinds, wordsAbout } from "./shape.ts"

const still = (program: (library: Library) => Program): Claim["programs"] =>
  each((library) => () => onAStillClock(program(library)))

/** The same program with a cache of each library. */
const withCache = (settings: Settings, program: (cache: Cache) => Promise<Seen>): Claim["programs"] =>
  still((library) => async () => {
    const cache = await open[library](settings)
    try {
      return await program(cache)
    } finally {
      await cache.close()
    }
  })

const withPair = (settings: Settings, program: (pair: Pair) => Promise<Seen>): Claim["programs"] =>
  withCache(settings, (cache) => program({ reader: cache, writer: cache, nextMoment: () => later(1) }))

export const memoryClaims: ReadonlyArray<Claim> = [
  {
    title: "A key that is invalidated while it is loaded: the load is not kept",
    programs: withPair({}, invalidatedDuringALoad)
  },
  {
    title: "A tag that is invalidated during a load: the load is not kept",
    programs: withPair({ tagged: true }, tagInvalidatedDuringALoad)
  },
  {
    title: "A read after an invalidation does not join a load from before it",
    programs: withPair({}, askedAfterAnInvalidation)
  },
  {
    title: "A value that is set during a load is not overwritten by it",
    programs: withPair({}, setDuringALoad)
  },
  {
    title: "A writer that dies between commit and invalidation leaves nothing old",
    programs: withPair({}, diedAfterTheCommit)
  },
  {
    title: "Invalidations that belong to a transaction: after the commit, or written down in it",
    programs: still(wordsAbout(/transaction|outbox|fence|commit/i))
  },
  {
    title: "An invalidation that did not reach the store fails",
    programs: still((library) => refusedInvalidation[library])
  },
  { title: "Tags", programs: withPair({ tagged: true }, endedByATag) },
  {
    title: "Soft invalidation: served once more, and refreshed",
    programs: withCache({ lifetime: minute, stale: true }, softened)
  },
  {
    title: "Dependencies on entities, their fields and partitions",
    programs: still(wordsAbout(/entity|field|partition|dependenc|conditional/i))
  },
  {
    title: "Policies are values that compose, print and explain a verdict",
    programs: still(wordsAbout(/polic|explain|verdict/i))
  },
  { title: "One load for many readers in a process", programs: withCache({}, tenAtOnce) },
  {
    title: "Stale while revalidate",
    programs: withCache({ lifetime: minute, stale: true }, expired)
  },
  {
    title: "The last good value in place of a load that failed",
    programs: withCache({ lifetime: minute, onError: true }, failedLoad)
  },
  {
    title: "Early refresh at random (XFetch)",
    programs: withCache({ lifetime: minute, early: true }, shortlyBeforeTheEnd)
  },
  {
    title: "Failures are cached, and stay failures",
    programs: withCache({ failures: true }, askedAfterAFailure)
  },
  {
    title: "A lifetime that depends on the loaded value",
    programs: withCache({ shortIfEmpty: true }, emptyValue)
  },
  {
    title: "Memory before a shared store, kept together by messages",
    programs: still(wordsAbout(/^sync$|bus|secondary/i))
  },
  { title: "A value of another type under the same key is not served", programs: still(twoKinds) },
  { title: "Tests hand in a clock", programs: still(clock) },
  // Not any "route": `CacheStore.route` leads from a definition to a store.
  { title: "HTTP: pages, headers, routes", programs: still(wordsAbout(/http|header|^page|router|response/i)) }
]
