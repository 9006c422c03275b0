/** Laws of scans: every stored key is found, and no other. */
import * as Effect from "effect/Effect"
import type * as CacheStore from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import { expect, type Step } from "./law.ts"
import { law, type Rule } from "./rule.ts"
import { awkward } from "./samples.ts"
import { abbreviate, type Scene } from "./scene.ts"

// A page that holds nothing is allowed, so a scan of a large store may have many.
const mostPages = 100_000

/** All keys that a scan gives, page by page; after each page but the last something may happen. */
export const scanAll = (
  { store }: Scene,
  scan: Omit<CacheStore.Scan, "cursor">,
  between: Step<unknown> = Effect.void
): Step<ReadonlyArray<string>> =>
  Effect.gen(function*() {
    const pages: Array<ReadonlyArray<string>> = []
    const cursors = new Set<string>()
    let page = yield* store.scan(scan)
    pages.push(page.keys)
    while (page.cursor !== undefined) {
      const { cursor } = page
      yield* expect(!cursors.has(cursor), () => `the scan gave the cursor ${abbreviate(cursor)} twice`)
      yield* expect(cursors.size < mostPages, () => `the scan should have ended after ${mostPages} pages`)
      cursors.add(cursor)
      yield* between
      page = yield* store.scan({ ...scan, cursor })
      pages.push(page.keys)
    }
    return pages.flat()
  })

const missesNone = (scanned: ReadonlyArray<string>, expected: Iterable<string>): Step<void> => {
  const all = new Set(scanned)
  const missed = [...expected].find((key) => !all.has(key))
  return expect(missed === undefined, () => `the scan should have given ${abbreviate(missed!)}, and did not`)
}

const givesOnly = (scanned: ReadonlyArray<string>, allowed: ReadonlySet<string>): Step<void> => {
  const other = scanned.find((key) => !allowed.has(key))
  return expect(other === undefined, () => `the scan should not have given ${abbreviate(other!)}`)
}

const limits = [2, 7, 1000]

/** Stores entries, and what is not an entry: a key that is only leased, and one that was removed. Gives the stored keys. */
const fill = (s: Scene): Step<ReadonlySet<string>> =>
  Effect.gen(function*() {
    const addresses = [...awkward.map((parts) => s.at(parts)), { key: s.key(["a"], "s"), known: [] }]
    for (const address of addresses) yield* s.put(address)
    yield* s.load(s.at("leased"))
    yield* s.put(s.at("removed"))
    yield* s.invalidate(Invalidation.keys(s.key(["removed"])))
    return new Set(addresses.map(({ key }) => key))
  })

export const scanLaws: ReadonlyArray<Rule<never>> = [
  law("port", "a scan gives each stored key that matches its pattern, and no other", function*(s) {
    yield* fill(s)
    const ones = awkward.filter((parts) => parts.length === 1).map((parts) => s.key(parts))
    const patterns = [
      [s.pattern(undefined), ones],
      [s.pattern("a", undefined), [s.key(["a", "b"])]],
      [s.pattern("a*"), [s.key(["a*"])]],
      [s.pattern("leased"), []],
      [s.pattern(), []]
    ] as const
    for (const limit of limits) {
      for (const [pattern, expected] of patterns) {
        const scanned = yield* scanAll(s, { limit, pattern })
        yield* missesNone(scanned, expected)
        yield* givesOnly(scanned, new Set(expected))
      }
    }
  }),

  law("port", "a scan without a pattern gives every stored key", function*(s) {
    const stored = yield* fill(s)
    for (const limit of limits) {
      const scanned = yield* scanAll(s, { limit })
      yield* missesNone(scanned, stored)
      // The store may hold what is not of this law.
      yield* givesOnly(scanned.filter((key) => key.startsWith(s.name())), stored)
    }
  }),

  law("port", "a scan misses no key that is stored all the while, whatever else happens", function*(s) {
    const kept = Array.from({ length: 12 }, (_, i) => s.at(["kept", String(i)]))
    for (const address of kept) yield* s.put(address)
    let turn = 0
    const between = Effect.gen(function*() {
      // Bounded, so that the scan cannot be kept going by what is added to it.
      if (turn >= kept.length) return
      yield* s.read(kept[(turn * 5) % kept.length]!)
      yield* s.put(s.at(["other", String(turn)]))
      yield* s.put(s.at(["kept", `${turn} more`]))
      if (turn > 0) yield* s.invalidate(Invalidation.keys(s.key(["kept", `${turn - 1} more`])))
      turn++
    })
    const scanned = yield* scanAll(s, { limit: 2, pattern: s.pattern("kept", undefined) }, between)
    yield* missesNone(scanned, kept.map(({ key }) => key))
  })
]
