/** Laws of leases: who may fill a key, and until when. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as CacheStore from "../../CacheStore.ts"
import * as Invalidation from "../../Invalidation.ts"
import { expect, type Step } from "./law.ts"
import { law, type Rule } from "./rule.ts"
import { type Loading, same, show } from "./scene.ts"
import { soon, type Waiting } from "./waiting.ts"

export const leaseLaws: ReadonlyArray<Rule<never>> = [
  law("G5", "one load at a time has the lease, and the others learn which", function*(s) {
    const address = s.at("a")
    const holder = yield* s.load(address)
    yield* s.isBusy(address, holder)
    yield* s.isBusy(address, holder)
    const draft = yield* s.finish(holder)
    yield* s.serves(address, draft)
  }),

  law("G5", "of many that begin at once, one has the lease", function*(s) {
    const address = s.at("a", s.tag("known"))
    const all = yield* Effect.forEach(Array.from({ length: 20 }), () => s.begin(address), { concurrency: "unbounded" })
    const leased = all.flatMap((begun) => begun._tag === "Leased" ? [begun.lease.token] : [])
    yield* expect(leased.length === 1, () => `${leased.length} have the lease`)
    yield* expect(
      all.every((begun) => begun._tag === "Leased" || (begun._tag === "Busy" && begun.token === leased[0])),
      () => `${leased[0]} has the lease, and the answers were ${show(all)}`
    )
  }),

  law("G5", "leases of different keys do not meet", function*(s) {
    const a = yield* s.load(s.at("a"))
    const b = yield* s.load(s.at("b"))
    yield* s.serves(a.address, yield* s.finish(a))
    yield* s.serves(b.address, yield* s.finish(b))
  }),

  law("port", "a begin that is repeated is one", function*(s) {
    const address = s.at("a")
    const token = s.service.token()
    const first = yield* s.load(address, { token })
    const second = yield* s.load(address, { token })
    yield* s.isBusy(address, second)
    yield* s.finish(second)
    yield* s.outcome(yield* s.commit(first), "lost")
  }),

  law("G1", "a begin that is repeated makes no load younger", function*(s) {
    const [known, found] = [s.tag("known"), s.tag("found")]
    for (const dependency of [known, found]) {
      const address = s.at(dependency, known)
      const token = s.service.token()
      const first = yield* s.load(address, { token })
      yield* s.invalidate(Invalidation.dependencies(dependency))
      // As a request does that was sent twice, and delayed once.
      yield* s.begin(address, { token })
      yield* s.refused(yield* s.commit(first, { found: [found] }))
      yield* s.isDead(address)
    }
  }),

  law("port", "begin finds what was stored meanwhile", function*(s) {
    const address = s.at("a")
    const draft = yield* s.put(address)
    const begun = yield* s.begin(address)
    yield* expect(
      begun._tag === "Found" && same(begun.entry.payload, draft.payload),
      () => `begin should have found the entry, and answered ${begun._tag}`
    )
    yield* s.serves(address, draft)
  }),

  law("port", "begin gives the lease over the entry that was seen, and leaves it there", function*(s) {
    const address = s.at("a")
    const draft = yield* s.put(address)
    const { token } = yield* s.serves(address, draft)
    const loading = yield* s.load(address, { seen: token })
    yield* s.serves(address, draft)
    yield* s.isBusy(address, loading, { seen: token })
  }),

  law("port", "begin finds a newer entry than the one that was seen", function*(s) {
    const address = s.at("a")
    const { token } = yield* s.serves(address, yield* s.put(address))
    const newer = yield* s.put(address)
    const begun = yield* s.begin(address, { seen: token })
    yield* expect(
      begun._tag === "Found" && same(begun.entry.payload, newer.payload),
      () => `begin should have found the newer entry, and answered ${begun._tag}`
    )
  }),

  law("G2", "what was seen dead is dropped when a load begins", function*(s) {
    const [address, other] = [s.at("a"), s.at("b")]
    const kept = yield* s.put(other)
    const { token } = yield* s.serves(address, yield* s.put(address))
    const loading = yield* s.load(address, { seen: token, drop: true })
    yield* s.isMissing(address)
    yield* s.serves(other, kept)
    yield* s.store.abandon(address, loading.lease.token)
    yield* s.isMissing(address)
  }),

  law("G2", "what was seen dead is dropped though another has the lease", function*(s) {
    const address = s.at("a")
    const { token } = yield* s.serves(address, yield* s.put(address))
    const holder = yield* s.load(address, { seen: token })
    yield* s.isBusy(address, holder, { seen: token, drop: true })
    yield* s.isMissing(address)
  }),

  law("port", "only the entry that was seen is dropped", function*(s) {
    const [address, other] = [s.at("a"), s.at("b")]
    const kept = yield* s.put(other)
    const { token } = yield* s.serves(address, yield* s.put(address))
    const newer = yield* s.put(address)
    const begun = yield* s.begin(address, { seen: token, drop: true })
    yield* expect(begun._tag === "Found", () => `begin should have found the newer entry, and answered ${begun._tag}`)
    yield* s.serves(address, newer)
    yield* s.serves(other, kept)
  }),

  law("G6", "force takes the lease, and the load that had it stores nothing", function*(s) {
    const address = s.at("a")
    const first = yield* s.load(address)
    const second = yield* s.load(address, { force: true })
    yield* s.isBusy(address, second)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.isMissing(address)
    yield* s.isBusy(address, second)
    const draft = yield* s.finish(second)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.serves(address, draft)
  }),

  law("G6", "force takes the lease whatever is stored, and with drop removes it", function*(s) {
    const address = s.at("a")
    const draft = yield* s.put(address)
    yield* s.load(address, { force: true })
    yield* s.serves(address, draft)
    yield* s.load(address, { force: true, drop: true })
    yield* s.isMissing(address)
  }),

  law("G6", "a lease is over when its load has ended", function*(s) {
    const address = s.at("a")
    const loading = yield* s.load(address)
    const draft = yield* s.finish(loading)
    yield* s.outcome(yield* s.commit(loading), "lost")
    const { token } = yield* s.serves(address, draft)
    yield* s.load(address, { seen: token })
    yield* s.outcome(yield* s.commit(loading), "lost")
    yield* s.serves(address, draft)
  }),

  law("G5", "a lease is over when its load was refused", function*(s) {
    const address = s.at("a")
    const loading = yield* s.load(address)
    yield* s.invalidate(Invalidation.dependencies(s.tag("found")))
    yield* s.refused(yield* s.commit(loading, { found: [s.tag("found")] }))
    yield* s.load(address)
  }),

  law("port", "a lease that is abandoned is free, and its load stores nothing", function*(s) {
    const address = s.at("a")
    const first = yield* s.load(address)
    yield* s.store.abandon(address, first.lease.token)
    yield* s.outcome(yield* s.commit(first), "lost")
    yield* s.isMissing(address)
    const second = yield* s.load(address)
    yield* s.store.abandon(address, first.lease.token)
    yield* s.finish(second)
  }),

  law("port", "a load that is discarded stores nothing, and its lease is over", function*(s) {
    const address = s.at("a", s.tag("known"))
    for (const dependencies of [[s.tag("known")], [s.tag("known"), s.tag("found")]]) {
      const loading = yield* s.load(address)
      yield* s.outcome(yield* s.discard(loading, dependencies), "unstored")
      yield* s.isMissing(address)
      yield* s.outcome(yield* s.discard(loading, dependencies), "lost")
      yield* s.outcome(yield* s.commit(loading), "lost")
    }
    const draft = yield* s.put(address)
    const { token } = yield* s.serves(address, draft)
    yield* s.discard(yield* s.load(address, { seen: token }), undefined)
    yield* s.serves(address, draft)
  }),

  law("G3", "of a load whose dependencies are not known, everything that was invalidated counts", function*(s) {
    const address = s.at("a")
    const ways: ReadonlyArray<Step<unknown>> = [
      s.invalidate(Invalidation.dependencies(s.tag("any"))),
      s.invalidate(Invalidation.soft(Invalidation.dependencies(s.tag("any")))),
      Effect.flatMap(s.fence(Invalidation.dependencies(s.tag("any"))), (fence) => s.lift(fence))
    ]
    for (const way of ways) {
      const loading = yield* s.load(address)
      yield* way
      yield* s.refused(yield* s.discard(loading, undefined))
    }
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("any")))
    const loading = yield* s.load(address)
    yield* s.lift(fence)
    yield* s.refused(yield* s.discard(loading, undefined))
  }),

  law("G5", "of a load whose dependencies are not known, nothing counts if nothing was invalidated", function*(s) {
    const address = s.at("a")
    yield* s.outcome(yield* s.discard(yield* s.load(address), undefined), "unstored")
    const fence = yield* s.fence(Invalidation.dependencies(s.tag("any")))
    yield* s.outcome(yield* s.discard(yield* s.load(address), undefined), "fenced")
    yield* s.lift(fence)
  }, true),

  law("G3", "the position is another once something was invalidated, or a fence opened or lifted", function*(s) {
    const address = s.at("a")
    const over = Invalidation.dependencies(s.tag("any"))
    const fences: Array<CacheStore.Fence> = []
    const ways: ReadonlyArray<Step<unknown>> = [
      s.invalidate(over),
      s.invalidate(Invalidation.soft(over)),
      Effect.map(s.fence(over), (fence) => fences.push(fence)),
      Effect.suspend(() => s.lift(fences[0]!)),
      Effect.map(s.fence(Invalidation.keys(s.key(["b"]))), (fence) => fences.push(fence)),
      Effect.suspend(() => s.lift(fences[1]!))
    ]
    for (const [i, way] of ways.entries()) {
      const holder = yield* s.load(address)
      yield* way
      const begun = yield* s.begin(address)
      const { position } = holder.lease
      yield* expect(
        begun._tag === "Busy" && (begun.position === undefined || begun.position !== position),
        () => `after the ${i + 1}. of these, begin should have given another position, and answered ${show(begun)}`
      )
      yield* s.store.abandon(address, holder.lease.token)
    }
  }),

  law("G5", "the position is the same while nothing happens, where it is given", function*(s) {
    const holder = yield* s.load(s.at("a", s.tag("known")))
    const begun = yield* s.begin(holder.address)
    yield* expect(
      begun._tag === "Busy" && begun.position === holder.lease.position,
      () => `begin should have given the position ${holder.lease.position}, and answered ${show(begun)}`
    )
  }, true),

  law("G5", "a stranger abandons nothing", function*(s) {
    const address = s.at("a")
    const holder = yield* s.load(address)
    yield* s.store.abandon(address, s.service.token())
    yield* s.store.abandon(s.at("b"), holder.lease.token)
    yield* s.isBusy(address, holder)
    yield* s.finish(holder)
  }),

  law("G3", "a load from before an invalidation of its key is not waited for", function*(s) {
    const address = s.at("a")
    const ways: ReadonlyArray<Step<unknown>> = [
      s.invalidate(Invalidation.keys(address.key)),
      s.invalidate(Invalidation.soft(Invalidation.keys(address.key))),
      s.sweep(s.pattern("a")),
      s.sweep(s.pattern(undefined), "soft"),
      Effect.flatMap(s.fence(Invalidation.keys(address.key)), (fence) => s.lift(fence)),
      Effect.flatMap(s.fence(Invalidation.pattern(s.pattern("a"))), (fence) => s.lift(fence))
    ]
    for (const way of ways) {
      const first = yield* s.load(address)
      yield* way
      const second = yield* s.load(address)
      yield* s.outcome(yield* s.commit(first), "lost")
      yield* s.store.abandon(address, second.lease.token)
    }
  }),

  law("G3", "a load from before an invalidation of a dependency of its key is not waited for", function*(s) {
    const address = s.at("a", s.tag("known"))
    const ways = [
      s.invalidate(Invalidation.dependencies(s.tag("known"))),
      s.invalidate(Invalidation.soft(Invalidation.dependencies(s.tag("known"))))
    ]
    for (const way of ways) {
      const first = yield* s.load(address)
      yield* way
      const second = yield* s.load(address)
      yield* s.refused(yield* s.commit(first))
      yield* s.finish(second)
      yield* s.invalidate(Invalidation.keys(address.key))
    }
  })
]

export const releaseLaw = <R>(waiting: Waiting<R>): Rule<R> =>
  law("G5", "who waits for a lease learns when it is over", function*(s) {
    const ways: Record<string, (holder: Loading) => Step<unknown>> = {
      "stored": (holder) => s.finish(holder),
      "refused": (holder) =>
        Effect.andThen(
          s.invalidate(Invalidation.dependencies(s.tag("found"))),
          s.commit(holder, { found: [s.tag("found")] })
        ),
      "abandoned": ({ address, lease }) => s.store.abandon(address, lease.token),
      "its key invalidated": ({ address }) => s.invalidate(Invalidation.keys(address.key)),
      "swept": () => s.sweep(s.pattern("swept")),
      "taken by force": ({ address }) => s.load(address, { force: true })
    }
    for (const [name, way] of Object.entries(ways)) {
      const holder = yield* s.load(s.at(name))
      const { address, lease: { token } } = holder
      const fiber = yield* Effect.forkChild(s.store.released(address, token), { startImmediately: true })
      yield* way(holder)
      yield* soon(`the end of a lease that was ${name}`, Fiber.join(fiber), waiting)
      yield* soon(`the end of a lease that was ${name} before`, s.store.released(address, token), waiting)
    }
    const address = s.at("repeated")
    const token = s.service.token()
    const first = yield* s.load(address, { token })
    const fiber = yield* Effect.forkChild(s.store.released(address, token), { startImmediately: true })
    yield* s.finish(yield* s.load(address, { token: first.lease.token }))
    yield* soon("the end of a lease that was asked for twice", Fiber.join(fiber), waiting)
  })
