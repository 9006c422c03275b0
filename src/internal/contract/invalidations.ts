/** Laws of invalidations: they end what they name, and nothing else. */
import * as Effect from "effect/Effect"
import type * as CacheStore from "../../CacheStore.ts"
import type * as Dependency from "../../Dependency.ts"
import * as Invalidation from "../../Invalidation.ts"
import type * as Verdict from "../../Verdict.ts"
import { expect } from "./law.ts"
import { law, type Rule } from "./rule.ts"
import { awkward } from "./samples.ts"
import { type Loading, long, showMarks } from "./scene.ts"
import { finding, modes } from "./targets.ts"

export const invalidationLaws: ReadonlyArray<Rule<never>> = [
  law("port", "what does not cover a load or an entry does nothing to it", function*(s) {
    const address = s.at(["a", "b"], s.tag("known"))
    const unrelated = Effect.gen(function*() {
      yield* s.invalidate(
        Invalidation.keys([s.key(["a"]), s.key(["a", "c"]), s.key(["a", "b"], "s")]),
        Invalidation.dependencies([s.tag("other"), s.tag("know"), s.tag("known ")])
      )
      for (const pattern of [s.pattern("b", undefined), s.pattern("a"), s.pattern("a", "b", undefined)]) {
        yield* s.sweep(pattern)
      }
      const fence = yield* s.fence(Invalidation.dependencies(s.tag("other")))
      yield* s.load(s.at("c", s.tag("other")), { force: true })
      yield* s.lift(fence)
    })
    const loading = yield* s.load(address)
    yield* unrelated
    const draft = yield* s.finish(loading, { found: [s.tag("found")] })
    yield* unrelated
    yield* s.serves(address, draft)
    yield* s.invalidate()
    yield* s.serves(address, draft)
  }),

  law("G1", "invalidating a dependency marks or removes the entries that have it, and no others", function*(s) {
    const [x, y, z] = [s.tag("x"), s.tag("y"), s.tag("z")]
    for (const mode of modes) {
      const without = new Map<CacheStore.Address, CacheStore.Draft>()
      const having: Array<readonly [CacheStore.Address, CacheStore.Draft]> = []
      for (
        const [name, known, found] of [["1", [x], []], ["2", [], [x]], ["3", [y], [x, z]], ["4", [x, y], [z]]] as const
      ) {
        const address = s.at(name, ...known)
        having.push([address, yield* s.put(address, { found })])
      }
      for (const [name, known, found] of [["5", [], []], ["6", [y], []], ["7", [y], [z]]] as const) {
        const address = s.at(name, ...known)
        without.set(address, yield* s.put(address, { found }))
      }
      yield* s.invalidate(Invalidation.withMode(Invalidation.dependencies(x), mode))
      for (const [address, draft] of having) {
        if (mode === "hard") yield* s.isDead(address)
        else yield* s.servesSoftly(address, draft)
      }
      for (const [address, draft] of without) yield* s.serves(address, draft)
    }
  }),

  law("G1", "a dependency of which a hard change leaves nothing kills, and a soft one marks", function*(s) {
    const [address, fatal] = [s.at("a"), s.tag("fatal")]
    const loaded = { found: [fatal, s.tag("other")], fatal: [fatal] }
    const draft = yield* s.put(address, loaded)
    yield* s.invalidate(Invalidation.soft(Invalidation.dependencies(fatal)))
    yield* s.servesSoftly(address, draft)
    yield* s.invalidate(Invalidation.dependencies(fatal))
    yield* s.isDead(address)
    yield* s.serves(address, yield* s.put(address, loaded))
  }),

  law("G1", "marks name what changed, and only that, each in its mode", function*(s) {
    const [x, y, z] = [s.tag("x"), s.tag("y"), s.tag("z")]
    const address = s.at("a", x)
    const draft = yield* s.put(address, { found: [y, z] })
    yield* s.invalidate(Invalidation.dependencies(x), Invalidation.soft(Invalidation.dependencies(y)))
    const entry = yield* s.holds(address, draft)
    const expected = new Map<Dependency.Dependency, Verdict.Mode>([[x, "hard"], [y, "soft"]])
    yield* expect(
      !entry.softened && entry.changed?.size === 2 &&
        [...expected].every(([name, mode]) => entry.changed?.get(name) === mode),
      () => `x should be marked hard and y soft, and the marks are${showMarks(entry)}`
    )
  }),

  law("G1", "a batch of keys and dependencies in several modes is applied as a whole", function*(s) {
    const [x, y] = [s.tag("x"), s.tag("y")]
    const drafts = new Map<string, CacheStore.Draft>()
    for (const name of ["hard key", "soft key", "neither"]) drafts.set(name, yield* s.put(s.at(name)))
    drafts.set("hard", yield* s.put(s.at("hard", x)))
    drafts.set("soft", yield* s.put(s.at("soft"), { found: [y] }))
    const loading = yield* s.load(s.at("in flight"))
    const loadingKey = yield* s.load(s.at("in flight too"))
    yield* s.invalidate(
      Invalidation.keys([s.key(["hard key"]), s.key(["in flight too"])]),
      Invalidation.soft(Invalidation.keys(s.key(["soft key"]))),
      Invalidation.dependencies(x),
      Invalidation.soft(Invalidation.dependencies(y))
    )
    yield* s.isMissing(s.at("hard key"))
    yield* s.servesSoftly(s.at("soft key"), drafts.get("soft key")!)
    yield* s.isDead(s.at("hard", x))
    yield* s.servesSoftly(s.at("soft"), drafts.get("soft")!)
    yield* s.serves(s.at("neither"), drafts.get("neither")!)
    yield* s.refused(yield* s.commit(loading, { found: [y] }))
    yield* s.outcome(yield* s.commit(loadingKey), "lost")
  }),

  law("G1", "what was invalidated during a load is not forgotten for what comes after it", function*(s) {
    const loading = yield* s.load(s.at("a"))
    yield* s.invalidate(Invalidation.dependencies(s.tag("found")))
    for (let i = 0; i < 20; i++) {
      const many = Array.from({ length: 100 }, (_, j) => s.tag(`${i} ${j}`))
      yield* s.invalidate(Invalidation.dependencies(many))
    }
    yield* s.refused(yield* s.commit(loading, finding(s)))
    yield* s.isDead(s.at("a"))
  }),

  law("port", "a count is that of the entries that were there, or is not given", function*(s) {
    const counted = (what: string, actual: number | undefined, expected: number) =>
      expect(
        actual === undefined || actual === expected,
        () => `${what} touched ${expected} entries, and the count was ${actual}`
      )
    const [x, y, z] = [s.tag("x"), s.tag("y"), s.tag("z")]
    yield* s.put(s.at("1", x))
    yield* s.put(s.at("2", x, y))
    yield* s.put(s.at("3", y))
    yield* s.put(s.at("4"))
    const soft = Invalidation.soft(Invalidation.dependencies([x, y]))
    yield* counted("two dependencies", yield* s.invalidate(soft, Invalidation.keys([s.key(["3"]), s.key(["none"])])), 3)
    yield* counted("a dependency that nothing has", yield* s.invalidate(Invalidation.dependencies(z)), 0)
    yield* counted("a pattern", yield* s.sweep(s.pattern(undefined)), 3)
    yield* counted("a pattern that nothing matches", yield* s.sweep(s.pattern(undefined)), 0)
    yield* s.put(s.at("5"))
    const fence = { id: s.service.token(), over: Invalidation.keys([s.key(["5"]), s.key(["none"])]), length: long }
    yield* counted("a fence", yield* s.store.fence(fence), 1)
    yield* s.lift(fence)
  }),

  law("G1", "a sweep touches the keys of its pattern, and no others", function*(s) {
    const inside = [["drama", "1"], ["drama", "2"], ["drama", "*"], ["drama", "10"]]
    const outside = [["drama"], ["drama", "1", "1"], ["dramas", "1"], ["dram", "1"], ["*", "1"], ["noir", "1"], [
      "1",
      "drama"
    ]]
    const other = { key: s.key(["drama", "1"], "s"), known: [] }
    for (const mode of modes) {
      const drafts = new Map<CacheStore.Address, CacheStore.Draft>()
      for (const parts of [...inside, ...outside]) drafts.set(s.at(parts), yield* s.put(s.at(parts)))
      drafts.set(other, yield* s.put(other))
      const loads: Array<readonly [boolean, Loading]> = []
      for (const parts of [["drama", "new"], ["drama", "new", "1"], ["new", "drama"]]) {
        loads.push([parts.length === 2 && parts[0] === "drama", yield* s.load(s.at(parts), { force: true })])
      }
      yield* s.sweep(s.pattern("drama", undefined), mode)
      const swept = new Set(inside.map((parts) => s.key(parts)))
      for (const [address, draft] of drafts) {
        if (!swept.has(address.key)) yield* s.serves(address, draft)
        else if (mode === "hard") yield* s.isMissing(address)
        else yield* s.servesSoftly(address, draft)
      }
      for (const [voided, loading] of loads) yield* s.outcome(yield* s.commit(loading), voided ? "lost" : "stored")
    }
  }),

  law("G1", "no character in a key widens a pattern", function*(s) {
    const fixed = awkward.flatMap((parts) => parts.length === 1 ? parts : [])
    const drafts = new Map<string, CacheStore.Draft>()
    for (const one of fixed) drafts.set(one, yield* s.put(s.at([one, "x"])))
    for (const one of fixed) {
      yield* s.sweep(s.pattern(one, undefined))
      yield* s.isMissing(s.at([one, "x"]))
      drafts.delete(one)
      for (const [other, draft] of drafts) yield* s.serves(s.at([other, "x"]), draft)
    }
  }),

  law("port", "everything sweeps everything", function*(s) {
    const other = { key: s.key(["a"], "s"), known: [] }
    for (const mode of modes) {
      const drafts: Array<readonly [CacheStore.Address, CacheStore.Draft]> = []
      for (const address of [s.at("a"), s.at(["a", "b"]), other]) drafts.push([address, yield* s.put(address)])
      const loading = yield* s.load(s.at("loading"), { force: true })
      yield* s.sweep("everything", mode)
      for (const [address, draft] of drafts) {
        if (mode === "hard") yield* s.isMissing(address)
        else yield* s.servesSoftly(address, draft)
      }
      yield* s.outcome(yield* s.commit(loading), "lost")
    }
  }, true)
]
