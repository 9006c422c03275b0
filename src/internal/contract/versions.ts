/** Laws of versions: what lies side by side under one key, and ends together. */
import * as Effect from "effect/Effect"
import type * as CacheStore from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import { expect, type Lose, type Step } from "./law.ts"
import { law, type Rule } from "./rule.ts"
import { scanAll } from "./scans.ts"
import type { Scene } from "./scene.ts"
import { covered, finding, modes, targets } from "./targets.ts"

type Version = string | undefined

const versions: ReadonlyArray<Version> = [undefined, "1", "2"]

const named = (version: Version): string => version === undefined ? "no version" : `version ${version}`

const inVersion = (address: CacheStore.Address, version: Version): CacheStore.Address => ({ ...address, version })

/** One key in each version. */
const inEach = (s: Scene): ReadonlyArray<CacheStore.Address> =>
  versions.map((version) => inVersion(covered(s), version))

const putEach = (s: Scene): Step<ReadonlyArray<CacheStore.Draft>> =>
  Effect.forEach(inEach(s), (address) => s.put(address, finding(s)))

/** After it ended nothing is found, and the next load is stored. */
const beginsAnew = (s: Scene, address: CacheStore.Address): Step<void> =>
  Effect.gen(function*() {
    yield* s.isDead(address)
    const seen = yield* s.read(address)
    const loading = yield* s.load(address, { seen: seen?.token, drop: true })
    const draft = yield* s.finish(loading, finding(s))
    yield* s.serves(address, draft)
  })

const write = { drop: true, force: true } as const

export const versionLaws: ReadonlyArray<Rule<never>> = [
  law("port", "entries and leases of two versions lie apart", function*(s) {
    const loads = yield* Effect.forEach(inEach(s), (address) => s.load(address))
    for (const loading of loads) yield* s.isBusy(loading.address, loading)
    for (const loading of loads) {
      const draft = yield* s.finish(loading, finding(s))
      yield* s.serves(loading.address, draft)
    }
    const drafts = yield* putEach(s)
    for (const [i, address] of inEach(s).entries()) yield* s.serves(address, drafts[i]!)
  }),

  ...targets.flatMap(({ alone, invalidate, name }) => [
    ...modes.map((mode) =>
      law("G1", `the entries of all versions end when ${name} is invalidated (${mode})`, function*(s) {
        for (let times = 0; times < 2; times++) {
          const drafts = yield* putEach(s)
          yield* invalidate(s, mode)
          for (const [i, address] of inEach(s).entries()) {
            if (mode === "soft") yield* s.servesSoftly(address, drafts[i]!)
            else yield* s.isDead(address)
          }
        }
        if (mode === "hard") { for (const address of inEach(s)) yield* beginsAnew(s, address) }
      }, alone)
    ),

    law("G1", `a load in any version is refused if ${name} is invalidated before it ends`, function*(s) {
      for (const mode of modes) {
        const loads = yield* Effect.forEach(inEach(s), (address) => s.load(address, { force: true }))
        yield* invalidate(s, mode)
        for (const loading of loads) {
          yield* s.refused(yield* s.commit(loading, finding(s)))
          yield* s.isNotFresh(loading.address)
        }
      }
    }, alone),

    law("G3", `a load in any version is not shared if ${name} was invalidated`, function*(s) {
      const loads = yield* Effect.forEach(inEach(s), (address) => s.load(address))
      yield* invalidate(s, "hard")
      for (const loading of loads) {
        yield* s.refused(yield* s.discard(loading, [s.tag("known"), s.tag("found")]))
      }
    }, alone)
  ]),

  law("G3", "a load in any version is not joined once its key was invalidated", function*(s) {
    for (const mode of modes) {
      const older = yield* Effect.forEach(inEach(s), (address) => s.load(address, { force: true }))
      yield* s.invalidate(Invalidation.withMode(Invalidation.keys(covered(s).key), mode))
      for (const { address, lease } of older) {
        const seen = yield* s.read(address)
        const loading = yield* s.load(address, { seen: seen?.token })
        yield* expect(loading.lease.token !== lease.token, () => "the lease of an older load was given again")
        const draft = yield* s.finish(loading, finding(s))
        yield* s.serves(address, draft)
      }
    }
  }),

  law("G1", "a load in any version is stored if its key was invalidated before it began", function*(s) {
    yield* putEach(s)
    yield* s.invalidate(Invalidation.keys(covered(s).key))
    const loads = yield* Effect.forEach(inEach(s), (address) => s.load(address))
    for (const loading of loads) {
      const draft = yield* s.finish(loading, finding(s))
      yield* s.serves(loading.address, draft)
    }
  }),

  law("G7", "a fence over a key stands over it in all versions", function*(s) {
    yield* putEach(s)
    const fence = yield* s.fence(Invalidation.keys(covered(s).key))
    const loads = yield* Effect.forEach(
      inEach(s),
      (address) => Effect.andThen(s.isDead(address), s.load(address, { force: true }))
    )
    const [first, ...others] = loads
    yield* s.outcome(yield* s.commit(first!, finding(s)), "fenced")
    yield* s.lift(fence)
    for (const loading of others) yield* s.outcome(yield* s.commit(loading, finding(s)), "invalidated")
    for (const address of inEach(s)) yield* beginsAnew(s, address)
  }),

  ...versions.flatMap((mine) => {
    const own = (s: Scene) => inVersion(covered(s), mine)
    const others = (s: Scene) => inEach(s).filter(({ version }) => version !== mine)
    return [
      law("G6", `a write in ${named(mine)} ends what is stored in other versions`, function*(s) {
        yield* putEach(s)
        const writing = yield* s.load(own(s), write)
        for (const address of inEach(s)) yield* s.isDead(address)
        const draft = yield* s.finish(writing, finding(s))
        yield* s.serves(own(s), draft)
        for (const address of others(s)) yield* beginsAnew(s, address)
        yield* s.serves(own(s), draft)
        yield* s.invalidate(Invalidation.keys(own(s).key))
        yield* s.isDead(own(s))
      }),

      law("G6", `what is loaded beside a write in ${named(mine)} is not kept in other versions`, function*(s) {
        const before = yield* Effect.forEach(others(s), (address) => s.load(address, { force: true }))
        const writing = yield* s.load(own(s), write)
        const [stored, ...loading] = yield* Effect.forEach(others(s), (address) => s.load(address, { force: true }))
        for (const one of before) yield* s.refused(yield* s.commit(one, finding(s)))
        yield* s.finish(stored!, finding(s))
        const draft = yield* s.finish(writing, finding(s))
        yield* s.serves(own(s), draft)
        yield* s.isDead(stored!.address)
        for (const one of loading) yield* s.refused(yield* s.commit(one, finding(s)))
        for (const address of others(s)) yield* beginsAnew(s, address)
      }),

      law("G6", `a write in ${named(mine)} beside an invalidation of its key is not stored`, function*(s) {
        const writing = yield* s.load(own(s), write)
        yield* s.invalidate(Invalidation.keys(own(s).key))
        yield* s.refused(yield* s.commit(writing, finding(s)))
        yield* s.isDead(own(s))
      })
    ]
  }),

  law("port", "a key is found in any version", function*(s) {
    const address = inVersion(s.at(["a", "b"]), "2")
    yield* s.put(address)
    const keys = new Set(yield* scanAll(s, { limit: 1000, pattern: s.pattern("a", undefined) }))
    yield* expect(keys.size === 1 && keys.has(address.key), () => `a scan gave ${[...keys].join(", ")}`)
  }),

  law("port", "what is inspected is that of a version", function*(s) {
    const [first, second] = ["1", "2"].map((version) => inVersion(s.at("a"), version))
    yield* s.put(first!)
    const loading = yield* s.load(second!)
    const [one, other] = [yield* s.store.inspect(first!), yield* s.store.inspect(second!)]
    yield* expect(one.entry !== undefined && one.leased === undefined, () => "the entry is not inspected")
    yield* expect(
      other.entry === undefined && other.leased === loading.lease.token,
      () => "the lease of the other version is not inspected"
    )
    yield* s.invalidate(Invalidation.soft(Invalidation.keys(first!.key)))
    yield* expect((yield* s.store.inspect(first!)).entry?.softened === true, () => "the soft invalidation is not shown")
    yield* s.invalidate(Invalidation.keys(first!.key))
    const over = yield* s.store.inspect(first!)
    yield* expect(
      over.entry === undefined || over.removed !== undefined,
      () => "an entry that is over is shown as good"
    )
  })
]

/** Losing the tokens of dependencies, and that of a key, ends entries and revives none. */
export const versionLossLaw = <R>(way: NonNullable<Lose<R>["markers"]>): Rule<R> =>
  law<R>("G9", "losing the tokens of a key revives nothing, and lets no older load through", function*(s) {
    for (const address of inEach(s)) {
      yield* s.put(address, finding(s))
      yield* s.invalidate(Invalidation.keys(address.key))
      yield* way(address.key, [])
      yield* s.isDead(address)
      const loading = yield* s.load(address, { force: true })
      yield* s.invalidate(Invalidation.keys(address.key))
      yield* way(address.key, [])
      yield* s.refused(yield* s.commit(loading, finding(s)))
      yield* beginsAnew(s, address)
    }
  }, true)
